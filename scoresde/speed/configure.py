"""`configure`: everything at once."""

import os
import threading

from scoresde.speed.allocator import give_back_when_compiled, keep_memory
from scoresde.speed.compilation_cache import cache_programs
from scoresde.speed.convolutions import choose_convolutions
from scoresde.speed.dispatch import run_in_caller
from scoresde.speed.graphs import run_side_by_side
from scoresde.speed.setting import Setting
from scoresde.speed.xla_flags import set_flags


def configure(cache: str | os.PathLike | None = None) -> tuple[Setting, ...]:
    """Makes this process quick; call it before JAX computes anything.

    On CPUs alone: XLA flags for convolutions and compilation, where XLA_FLAGS is not set;
    convolutions in the order that XLA is quick at, and large 3x3 ones by fewer products, in all
    programs of this process, other libraries' too; and an allocator that keeps memory, under glibc,
    where no MALLOC_ variable is set, with programs that run in the thread that calls them, since it
    keeps most there. It gives memory back when another program is compiled; computing again and
    again with arrays of many sizes outside of programs may take several times the memory. On one
    NVIDIA GPU: training steps whose kernels run beside each other. SCORESDE_FAST=0 in the
    environment refuses these. On all devices: a directory in which JAX caches compiled programs,
    the one that is given, or one where JAX has none. It takes back nothing else that the user has
    set, and may be called again.

    The command line calls it; `import scoresde` does not. `scoresde env` shows what it does.

    Args:
        cache: the directory of compiled programs, "" for none, whatever else says where; if None,
            what JAX_COMPILATION_CACHE_DIR or JAX's configuration says, or `~/.cache/scoresde/jax`.

    Returns:
        What is set now, and why.
    """
    with _ONE_AT_A_TIME:
        allocator = keep_memory()
        cached = cache_programs(cache)  # before JAX is imported, which reads it then
        flags = set_flags()  # before a device is asked for
        give_back_when_compiled(allocator)
        on_cpus = choose_convolutions(), allocator, run_in_caller(allocator)
        return flags, *map(_still, on_cpus), run_side_by_side(), cached


def _still(said: Setting) -> Setting:
    """What is said of a setting, unless it was set before: none of these is taken back."""
    before = _SET.get(said.name)
    if said.value:
        _SET[said.name] = said
    elif before:
        return before._replace(why=f"scoresde; {said.why}, but too late, it is set")
    return said


_SET: dict[str, Setting] = {}

# Some of it imports JAX, and another thread would find half of JAX there.
_ONE_AT_A_TIME = threading.Lock()
