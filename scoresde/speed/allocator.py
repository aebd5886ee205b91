"""glibc's allocator, told to keep the memory that a step frees for the next one.

By default it gives large blocks back to the system as soon as they are free, and a quarter of the
time of a training step goes into fresh pages. What is kept would grow where shapes change, as what
stays between two blocks makes holes that fit none of the next shape: so the system gets all that is
free whenever a program is compiled, which in a loop that runs is never.
"""

import ctypes
import functools
import os

from scoresde.speed.platforms import why_not_cpu_alone
from scoresde.speed.setting import REFUSAL, Setting, refused

# Of <malloc.h>: what mallopt sets, and to what.
_OPTIONS = {
    "M_MMAP_MAX": (-4, 0),  # no block has a map of its own: all come from the heap,
    "M_TRIM_THRESHOLD": (-1, -1),  # whose free end is never given back
    "M_TOP_PAD": (-2, 2**28),  # and which grows in large steps
}


def keep_memory() -> Setting:
    """Sets it where that is known to work and nobody has said otherwise; says what it did."""

    def setting(value, why):
        return Setting("allocator", value, why)

    if refused():
        return setting("", f"{REFUSAL}={os.environ[REFUSAL]}")
    if given := [name for name in os.environ if name.startswith("MALLOC_")]:
        return setting(" ".join(f"{name}={os.environ[name]}" for name in given), "the environment")
    if "malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return setting(os.environ["GLIBC_TUNABLES"], "the environment")
    if not _is_glibc():
        return setting("", "not glibc's")
    if reason := why_not_cpu_alone():
        return setting("", reason)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return setting("", "this C library has no mallopt")
    done = [name for name, (option, size) in _OPTIONS.items() if mallopt(option, size) == 1]
    if not done:
        return setting("", "mallopt refuses it")
    return setting(
        " ".join(f"{name}={_OPTIONS[name][1]}" for name in done),
        f"scoresde: freed memory is kept for the next step; {REFUSAL}=0 leaves it",
    )


def give_back_when_compiled(allocator: Setting) -> None:
    """Where memory is kept by our word, it goes back when JAX compiles a program. Imports JAX.

    Args:
        allocator: what `keep_memory` said.
    """
    if allocator.why.startswith("scoresde"):
        _listen()


@functools.cache  # once: listeners add up
def _listen() -> None:
    import jax

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def listen(event: str, seconds: float, **_: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            trim(0)

    if trim is not None:
        jax.monitoring.register_event_duration_secs_listener(listen)


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # not on Windows, not of other C libraries
        return False
