"""Where a program runs on a CPU: in the thread that calls it, whose memory the allocator keeps.

JAX hands programs to threads of its own, and of these glibc keeps no more than 64 MB: what a larger
step needs comes fresh from the system every time, page by page, which takes a fifth of it. The
main thread has no such limit. A call then returns when its program is done; other threads run on.
"""

from scoresde.speed.platforms import has_devices
from scoresde.speed.setting import REFUSAL, Setting

_OPTION = "jax_cpu_enable_async_dispatch"


def run_in_caller(allocator: Setting) -> Setting:
    """Sets it where the allocator keeps memory by our word; says what it did. Imports JAX.

    Args:
        allocator: what `keep_memory` said.
    """

    def setting(value, why):
        return Setting("dispatch", value, why)

    if not allocator.why.startswith("scoresde"):
        return setting("", f"as the allocator: {allocator.why}")
    import jax

    given = jax.config.values.get(_OPTION)
    if given is None:
        return setting("", f"this JAX has no {_OPTION}")
    if given and has_devices():
        return setting("", "too late, JAX has its devices: call scoresde.configure() first")
    jax.config.update(_OPTION, False)
    return setting(f"{_OPTION}=False", _OURS)


_OURS = f"scoresde: programs run in the thread whose memory is kept; {REFUSAL}=0 leaves it"
