"""What makes JAX quick and is a property of the process: set by one call, never by import.

    import scoresde
    scoresde.configure()      # first thing in a script or a notebook; the command line does it, too

xla_flags           XLA's convolutions and compilation
convolutions        large 3x3 convolutions by fewer products (winograd)
allocator           the memory that one step frees, kept for the next
dispatch            programs run where it is kept
graphs              training steps on NVIDIA GPUs: kernels beside each other
compilation_cache   programs that are compiled once are read back
"""

from scoresde.speed.configure import configure
from scoresde.speed.setting import Setting

__all__ = ["Setting", "configure"]
