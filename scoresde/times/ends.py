"""What is known of a process's times before a program is compiled."""

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np

from scoresde.sdes import SDE


def is_traced(tree: Any) -> bool:
    """Whether there are placeholders of a JAX transformation in a process, or in any pytree.

    Then nothing about the times can be checked, nor computed ahead of the compiled program.
    """
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def ahead(tree: Any) -> AbstractContextManager:
    """Where a process is known, its ends are computed once, not in every compiled program."""
    return contextlib.nullcontext() if is_traced(tree) else jax.ensure_compile_time_eval()


def starts_at_finite_log_snr(sde: SDE) -> bool:
    """Whether the log-SNR at t_max is finite, as it is taken to be where the process is traced."""
    with ahead(sde):
        log_snr = sde.log_snr(sde.t_max)
    return is_traced(sde) or bool(np.isfinite(log_snr))
