"""The XLA flags for CPUs: quick convolutions, and less work for the compiler.

The weight gradient of a convolution is about three times faster outside XLA's YNNPACK path. Of
LLVM's optimizations the first level is enough: the programs are as quick as with the third, and
ready in 0.8 of the time. XLA's preset for fast compilation has functions that a program calls more
than once, which are what JAX jits within it, optimized once and fused apart, in 0.7 of the time:
nothing is fused across their borders, on which `scoresde.networks` relies. Where cores are few, an
order of instructions that looks for memory, not for concurrency, is as quick. XLA reads XLA_FLAGS
when the first device is asked for, and ends the process at a flag that it does not know: a jaxlib
that is not among those tried is first started with them in a process of its own.
"""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys

from scoresde.speed.platforms import cores_are_few, has_devices, why_not_cpu_alone
from scoresde.speed.setting import REFUSAL, Setting, refused

_MANY_CORES = (
    "--xla_cpu_experimental_ynn_fusion_type=-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION "
    "--xla_backend_optimization_level=1 --xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE"
)
_FEW_CORES = f"{_MANY_CORES} --xla_cpu_scheduler_type=CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"

FLAGS = _FEW_CORES if cores_are_few() else _MANY_CORES

# The versions of jaxlib that were started with them.
TRIED = ("0.10.2", "0.11.2", "0.12.0")


def set_flags() -> Setting:
    """Sets them where they are known and XLA_FLAGS is not set; says what it did.

    A process inherits what one before it has set, also on a machine with a GPU, or of another
    number of cores. Where it would not set them itself, it takes them out.
    """

    def setting(value, why):
        return Setting("XLA_FLAGS", value, why)

    given = os.environ.get("XLA_FLAGS")
    reason = f"{REFUSAL}={os.environ[REFUSAL]}" if refused() else why_not_cpu_alone()
    if given in (_FEW_CORES, _MANY_CORES):
        if not reason:
            return setting(given, _OURS)
        if has_devices():
            return setting(given, f"scoresde; {reason}, but too late, JAX has its devices")
        del os.environ["XLA_FLAGS"]
    elif given:
        return setting(given, "the environment")
    if reason:
        return setting("", reason)
    if has_devices():
        return setting("", "too late, JAX has its devices: call scoresde.configure() first")
    version = importlib.metadata.version("jaxlib")
    if not starts_with_it(version):
        return setting("", f"jaxlib {version} does not start with the flags for CPUs")
    os.environ["XLA_FLAGS"] = FLAGS
    return setting(FLAGS, _OURS)


_OURS = f"scoresde: faster convolutions and compilation; {REFUSAL}=0 leaves them out"


def starts_with_it(version: str, record: pathlib.Path | None = None) -> bool:
    """Whether this version of jaxlib, the one installed, starts with the flags.

    One that was not tried is tried now, which takes a second, and never again.

    Args:
        version: of jaxlib.
        record: the file in which the outcome is kept; one in `~/.cache/scoresde` if None.
    """
    if version in TRIED:
        return True
    what, known = f"{version} {FLAGS}", {}
    try:
        record = record or pathlib.Path("~/.cache/scoresde/xla_flags.json").expanduser()
        known = json.loads(record.read_text())
        return bool(known[what])
    except (OSError, RuntimeError, ValueError, LookupError, TypeError):  # no home, no file, not it
        works = _try()
    if works is None or record is None:
        return bool(works)
    from scoresde import files  # and NumPy, which a short command need not wait for
    from scoresde.registry import UsageError

    known = known if isinstance(known, dict) else {}
    # Where nothing can be written, it is tried every time.
    with contextlib.suppress(OSError, UsageError):
        files.write_json(record, {**known, what: works})
    return works


def _try() -> bool | None:
    """Whether a process that has the flags gets its devices; None if there was no answer."""
    environment = {**os.environ, "XLA_FLAGS": FLAGS, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    try:
        return not subprocess.run(
            command, env=environment, capture_output=True, timeout=60
        ).returncode
    except (OSError, subprocess.SubprocessError):
        return None
