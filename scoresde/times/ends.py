"""What is known of a process's times before a program is compiled."""

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from scoresde.registry import UsageError
from scoresde.sdes import SDE


def is_traced(tree: Any) -> bool:
    """Whether there are placeholders of a JAX transformation in a process, or in any pytree.

    Then nothing about the times can be checked, nor computed ahead of the compiled program.
    """
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def ahead(tree: Any) -> AbstractContextManager:
    """Where a process is known, its ends are computed once, not in every compiled program."""
    return contextlib.nullcontext() if is_traced(tree) else jax.ensure_compile_time_eval()


def require_noise(sde: SDE, t: ArrayLike, what: str) -> None:
    """Raises UsageError where sigma(t) = 0, and with it `what` undefined; not of what is traced."""
    if is_traced((sde, t)):
        return
    with jax.ensure_compile_time_eval():
        noisy = bool(sde.sigma(t) > 0)
    if not noisy:
        raise UsageError(f"{what} needs noise, and at t = {t:g} there is none: give a t_min > 0.")


def require_flow(sde: SDE, t: ArrayLike) -> None:
    """Raises UsageError where the probability flow is infinitely fast; not of what is traced."""
    if is_traced((sde, t)):
        return
    with jax.ensure_compile_time_eval():
        rates = np.asarray([sde.alpha_dot(t), sde.sigma_dot(t)])
    if not np.isfinite(rates).all():
        raise UsageError(
            f"The probability flow of {type(sde).__name__} is infinitely fast at t = {t:g}, where "
            "its score diverges: give a t_min > 0."
        )


def starts_at_finite_log_snr(sde: SDE) -> bool:
    """Whether the log-SNR at t_max is finite, as it is taken to be where the process is traced."""
    with ahead(sde):
        log_snr = sde.log_snr(sde.t_max)
    return is_traced(sde) or bool(np.isfinite(log_snr))
