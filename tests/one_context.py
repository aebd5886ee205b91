"""One MLIR context for many programs: to make one takes a third of what a small program takes.

JAX makes a context for every program that it lowers, and here they are ten thousand small ones.
What is lowered is the same. A context keeps the constants of its programs, so it serves 200.
"""

import itertools
import threading

from jax._src.interpreters import mlir

PROGRAMS = 200


def share():
    """From now on, in this process; a JAX that makes its contexts otherwise is left alone."""
    make, here = getattr(mlir, "make_ir_context", None), threading.local()
    if make is None:
        return

    def shared():
        if next(here.__dict__.setdefault("programs", itertools.count())) % PROGRAMS == 0:
            here.context = make()
        return here.context

    mlir.make_ir_context = shared
