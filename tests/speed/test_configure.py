"""What makes a process quick: set where it is known to work, never against the user's word."""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import types

import pytest

from scoresde.speed import allocator, compilation_cache, dispatch, platforms, xla_flags
from scoresde.speed.setting import Setting, refused

CLEAN = ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "SCORESDE_FAST")


def child(code, **environment):
    """What a fresh process prints."""
    inherited = {k: v for k, v in os.environ.items() if k not in CLEAN and "MALLOC" not in k}
    environment = {**inherited, "JAX_PLATFORMS": "cpu", **environment}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_library_and_its_parts_sets_nothing():
    code = (
        "import os, scoresde; scoresde.samplers, scoresde.speed\n"
        "import jax; jax.devices()\n"
        "print(os.environ.get('XLA_FLAGS'), jax.config.jax_compilation_cache_dir)"
    )
    assert child(code).split() == ["None", "None"]


def test_one_call_sets_all_before_and_after_jax_is_imported(tmp_path):
    code = (
        "import sys, os, scoresde\n"
        "if {first}: import jax\n"
        "settings = scoresde.configure({cache!r})\n"
        "import jax\n"
        "assert jax.config.jax_compilation_cache_dir == {cache!r}\n"
        "jax.devices()\n"
        "again = scoresde.configure()\n"
        "assert [s.value for s in again] == [s.value for s in settings]\n"
        "print(all(s.why.startswith('scoresde') for s in settings if s.name != 'graphs'))\n"
        "print(os.environ['XLA_FLAGS'])"
    )
    for first in (False, True):
        # A variable that JAX does not read settles nothing.
        none = {"JAX_CPU_ENABLE_ASYNC_DISPATCH": "1"}
        out = child(code.format(first=first, cache=str(tmp_path / "programs")), **none)
        if allocator._is_glibc():
            assert "True" in out
        assert out.splitlines()[-1] == xla_flags.FLAGS


def test_threads_may_call_it_at_once_and_memory_is_given_back_once():
    code = (
        "import concurrent.futures, scoresde\n"
        "with concurrent.futures.ThreadPoolExecutor(8) as pool:\n"
        "    calls = [pool.submit(scoresde.configure) for _ in range(8)]\n"
        "assert len({call.result() for call in calls}) == 1\n"
        "from jax._src import monitoring\n"
        "listeners = monitoring.get_event_duration_listeners()\n"
        "print(sum('scoresde' in listener.__module__ for listener in listeners))"
    )
    assert int(child(code)) == allocator._is_glibc()


def test_what_cannot_be_taken_back_is_said_to_be_set():
    code = (
        "import os, scoresde\n"
        "first = scoresde.configure()\n"
        "os.environ['SCORESDE_FAST'] = '0'\n"
        "second = scoresde.configure()\n"
        "import jax\n"
        "jax.devices()\n"
        "assert not any(setting.value for setting in second if setting.name == 'XLA_FLAGS')\n"
        "for before, now in list(zip(first, second))[1:4]:\n"
        "    assert now.value == before.value, (before, now)\n"
        "    assert not now.value or 'SCORESDE_FAST=0, but too late' in now.why, now\n"
        "print(len([s for s in second if 'too late' in s.why]))"
    )
    assert int(child(code)) == (3 if allocator._is_glibc() else 1)


def test_it_waits_for_a_thread_that_is_importing_jax():
    code = (
        "import importlib, sys, threading, scoresde\n"
        "threading.Thread(target=importlib.import_module, args=('jax',)).start()\n"
        "while 'jax' not in sys.modules: pass\n"
        "scoresde.configure()"
    )
    for word in ("1", "0"):  # with "0" the cache is the first that asks for JAX
        child(code, SCORESDE_FAST=word)


def test_programs_of_after_the_call_are_cached_also_where_some_were_compiled_before(tmp_path):
    code = (
        "import os, scoresde, jax\n"
        "jax.jit(lambda x: x + 1)(1.0)\n"
        f"(flag, _, _, dispatch, _, cache) = scoresde.configure({str(tmp_path)!r})\n"
        "jax.jit(lambda x: x + 2)(1.0)\n"
        "print(flag.why, dispatch.why)"
    )
    always = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    late = 2 if allocator._is_glibc() else 1
    assert child(code, **always).count("too late") == late and list(tmp_path.iterdir())


def test_a_directory_that_is_given_goes_before_any_other_also_in_children(tmp_path):
    one, another = str(tmp_path / "one"), str(tmp_path / "another")
    code = (
        "import os, scoresde\n"
        f"scoresde.configure({one!r})\n"
        "import jax\n"
        "jax.jit(lambda x: x + 1)(1.0)\n"
        f"scoresde.configure({another!r})\n"
        "jax.jit(lambda x: x + 2)(1.0)\n"
        "print(jax.config.jax_compilation_cache_dir)\n"
        "print(os.environ['JAX_COMPILATION_CACHE_DIR'])"
    )
    always = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    found = child(code, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"), **always)
    assert found.split() == [another, another]
    assert {program.parent.name for program in tmp_path.glob("*/*")} == {"one", "another"}


@pytest.mark.skipif(not allocator._is_glibc(), reason="glibc's allocator")
def test_a_step_finds_the_memory_of_the_last_one():
    """Of 128 MB that a program needs; a loop of dispatches, as training has."""
    code = (
        "import resource, scoresde\n"
        "if {fast}: scoresde.configure()\n"
        "import jax, jax.numpy as jnp\n"
        "step = jax.jit(lambda x: x + jax.lax.fori_loop(0, 3, lambda i, y: y * x, x).min())\n"
        "x = jnp.ones(2**25)\n"
        "for _ in range(6): x = step(x)\n"
        "jax.block_until_ready(x)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(3): x = step(x)\n"
        "jax.block_until_ready(x)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    fresh = int(child(code.format(fast=False)))
    assert int(child(code.format(fast=True))) < 0.4 * fresh  # a block may still find its place


@pytest.mark.skipif(not allocator._is_glibc(), reason="glibc's allocator")
def test_the_heap_grows_in_large_steps_and_never_shrinks():
    code = (
        "import ctypes\n"
        "from scoresde.speed import allocator\n"
        "allocator.keep_memory()\n"
        "c = ctypes.CDLL(None)\n"
        "c.malloc.restype = c.sbrk.restype = ctypes.c_void_p\n"
        "before = c.sbrk(0)\n"
        "block = c.malloc(ctypes.c_size_t(2**29))\n"
        "grown = c.sbrk(0)\n"
        "c.free(ctypes.c_void_p(block))\n"
        "print(grown - before, c.sbrk(0) - grown)"
    )
    grown, shrunk = map(int, child(code).split())
    assert grown > 2**29 + 2**27 and shrunk == 0


def test_memory_is_given_back_only_where_it_is_kept_by_our_word(monkeypatch):
    listening = []
    monkeypatch.setattr(allocator, "_listen", lambda: listening.append(1))
    for why in ("the environment", "JAX runs on cuda, not on CPUs alone", "SCORESDE_FAST=0"):
        allocator.give_back_when_compiled(Setting("allocator", "", why))
    assert not listening
    allocator.give_back_when_compiled(Setting("allocator", "", "scoresde: freed memory is kept"))
    assert listening


@pytest.mark.parametrize(
    "environment, name, expected",
    [
        ({"SCORESDE_FAST": "0"}, "XLA_FLAGS", ("", "SCORESDE_FAST=0")),
        ({"SCORESDE_FAST": "0"}, "allocator", ("", "SCORESDE_FAST=0")),
        ({"XLA_FLAGS": "--mine=1"}, "XLA_FLAGS", ("--mine=1", "the environment")),
        ({"MALLOC_ARENA_MAX": "2"}, "allocator", ("MALLOC_ARENA_MAX=2", "the environment")),
        ({"JAX_PLATFORMS": "cuda,cpu"}, "XLA_FLAGS", ("", "JAX runs on cuda,cpu")),
        ({"JAX_PLATFORMS": "tpu"}, "allocator", ("", "JAX runs on tpu")),
        ({"MALLOC_ARENA_MAX": "2"}, "dispatch", ("", "as the allocator: the environment")),
        ({"JAX_COMPILATION_CACHE_DIR": ""}, "cache", ("", "JAX_COMPILATION_CACHE_DIR")),
        ({"JAX_COMPILATION_CACHE_DIR": "there"}, "cache", ("there", "JAX_COMPILATION_CACHE_DIR")),
        ({"JAX_ENABLE_COMPILATION_CACHE": "False"}, "cache", ("", "JAX_ENABLE_COMPILATION_CACHE")),
    ],
)
def test_the_users_word_goes_before(environment, name, expected, monkeypatch):
    for key in [key for key in os.environ if key in CLEAN or "MALLOC" in key]:
        monkeypatch.delenv(key)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    jax_less = {key: module for key, module in sys.modules.items() if key != "jax"}
    monkeypatch.setattr(sys, "modules", jax_less)
    before = dict(os.environ)
    setters = {
        "XLA_FLAGS": xla_flags.set_flags,
        "allocator": allocator.keep_memory,
        "dispatch": lambda: dispatch.run_in_caller(allocator.keep_memory()),
        "cache": compilation_cache.cache_programs,
    }
    setting = setters[name]()
    assert setting.value == expected[0] and setting.why.startswith(expected[1])
    assert dict(os.environ) == before


def test_no_is_understood_in_many_words(monkeypatch):
    found = []
    for word in ("0", "00", " 0 ", "False", "no", "N", "none", "off", "", "1", "yes"):
        monkeypatch.setenv("SCORESDE_FAST", word)
        found.append(refused())
    assert found == [True] * 8 + [False] * 3


@pytest.mark.parametrize("cores", ["few", "many"])  # of the parent
def test_a_child_on_a_gpu_does_not_inherit_the_flags_for_cpus(cores, monkeypatch):
    scheduler = "--xla_cpu_scheduler_type=CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"
    flags = xla_flags.FLAGS.replace(f" {scheduler}", "") + f" {scheduler}" * (cores == "few")
    monkeypatch.delenv("SCORESDE_FAST", raising=False)
    monkeypatch.setattr(xla_flags, "has_devices", lambda: False)
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert xla_flags.set_flags().value == flags
    monkeypatch.setattr(xla_flags, "why_not_cpu_alone", lambda: "a GPU")
    assert xla_flags.set_flags()[1:] == ("", "a GPU") and "XLA_FLAGS" not in os.environ
    monkeypatch.setenv("XLA_FLAGS", "--mine=1")
    assert xla_flags.set_flags().value == "--mine=1"


def test_a_refusal_takes_out_inherited_flags_while_there_are_no_devices(monkeypatch):
    monkeypatch.setenv("SCORESDE_FAST", "0")
    monkeypatch.setenv("XLA_FLAGS", xla_flags.FLAGS)
    monkeypatch.setattr(xla_flags, "has_devices", lambda: True)
    kept = xla_flags.set_flags()
    assert kept.value == xla_flags.FLAGS and "SCORESDE_FAST=0, but too late" in kept.why
    monkeypatch.setattr(xla_flags, "has_devices", lambda: False)
    assert xla_flags.set_flags()[1:] == ("", "SCORESDE_FAST=0") and "XLA_FLAGS" not in os.environ
    monkeypatch.setenv("XLA_FLAGS", "--mine=1")
    assert xla_flags.set_flags().value == "--mine=1"


def test_an_accelerator_that_is_installed_is_seen_without_jax(monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(sys, "modules", {k: v for k, v in sys.modules.items() if k != "jax"})
    find = platforms.importlib.util.find_spec
    assert platforms.why_not_cpu_alone() == "" or find("jax_plugins") or find("libtpu")
    monkeypatch.setattr(
        platforms.importlib.util, "find_spec", lambda name: name == "libtpu" or None
    )
    assert "libtpu is installed" in platforms.why_not_cpu_alone()
    monkeypatch.setattr(platforms.importlib.util, "find_spec", lambda name: None)
    plugin = importlib.metadata.EntryPoint("other", "other:initialize", "jax_plugins")
    monkeypatch.setattr(platforms.importlib.metadata, "entry_points", lambda group: [plugin])
    assert "the JAX plugin other is installed" in platforms.why_not_cpu_alone()


def test_an_unknown_jaxlib_is_tried_once_in_a_process_of_its_own(monkeypatch, tmp_path):
    tries, record = [], tmp_path / "xla_flags.json"
    monkeypatch.setattr(xla_flags, "_try", lambda: tries.append(1) or False)
    assert xla_flags.starts_with_it("0.10.2", record) and not tries
    assert not xla_flags.starts_with_it("0.99.0", record)
    assert not xla_flags.starts_with_it("0.99.0", record) and len(tries) == 1
    monkeypatch.setattr(xla_flags, "FLAGS", "--others")
    assert not xla_flags.starts_with_it("0.99.0", record) and len(tries) == 2
    assert len(json.loads(record.read_text())) == 2
    record.write_text("{")
    assert not xla_flags.starts_with_it("0.99.0", record) and len(tries) == 3


def test_a_try_without_an_answer_is_not_kept(monkeypatch, tmp_path):
    record = tmp_path / "xla_flags.json"
    monkeypatch.setattr(xla_flags, "_try", lambda: None)
    assert not xla_flags.starts_with_it("0.99.0", record) and not record.exists()


def test_an_answer_that_cannot_be_kept_is_given(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(xla_flags, "_try", lambda: True)
    assert xla_flags.starts_with_it("0.99.0", tmp_path / "file" / "xla_flags.json")


def test_a_user_without_a_home_directory_is_told_so(monkeypatch):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "expanduser", homeless)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(xla_flags, "_try", lambda: True)
    monkeypatch.setattr(sys, "modules", {k: v for k, v in sys.modules.items() if k != "jax"})
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    assert "no home" in compilation_cache.cache_programs().why
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "there")
    given = compilation_cache.cache_programs()
    assert given.value == "there" and given.why.startswith("JAX_COMPILATION_CACHE_DIR")
    assert xla_flags.starts_with_it("0.99.0")


def test_a_bucket_is_not_taken_for_a_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "modules", {k: v for k, v in sys.modules.items() if k != "jax"})
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    assert compilation_cache.cache_programs("gs://bucket/jax").value == "gs://bucket/jax"
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "gs://bucket/jax"
    none = compilation_cache.cache_programs("")
    assert none.value == "" and "none" in none.why


def test_a_cache_that_cannot_be_written_to_is_reported_as_such(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "modules", {k: v for k, v in sys.modules.items() if k != "jax"})
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    settings = [compilation_cache.cache_programs(tmp_path / name / "a") for name in ("new", "file")]
    assert ["cannot be written to" in setting.why for setting in settings] == [False, True]


def test_a_cache_that_jax_turns_off_is_reported_as_such(monkeypatch, tmp_path):
    config = types.SimpleNamespace(jax_enable_compilation_cache=False)
    monkeypatch.setitem(sys.modules, "jax", types.SimpleNamespace(config=config))
    off = compilation_cache.cache_programs(tmp_path)
    assert off.value == "" and "JAX's configuration, turns it off" in off.why


@pytest.mark.thorough
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_every_new_shape():
    code = (
        "import scoresde; scoresde.configure()\n"
        "import jax.numpy as jnp\n"
        "for count in range(1, 21):\n"
        "    x = jnp.ones(count * 2**19)\n"
        "    float((jnp.sin(x) + x)[0])\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    assert int(child(code)) < 900_000  # KiB; 1.5 million if nothing were given back


def test_a_flag_that_ends_the_process_is_found_out(monkeypatch):
    assert xla_flags._try()
    monkeypatch.setattr(xla_flags, "FLAGS", "--xla_cpu_no_flag_of_that_name=1")
    assert not xla_flags._try()
