"""What is known of each sample: a condition travels beside x and t, row by row.

What differs from sample to sample is in a condition and nowhere else; whoever takes samples apart
hands each its own part.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from scoresde.errors import UsageError
from scoresde.registry import closest

Condition = Mapping[str, Any] | None
"""Names ("label", "text", "mask", "observation", ...) to arrays [batch, ...], or to pytrees of such
arrays; None for no condition at all."""


def check_condition(
    condition: Condition,
    batch: int,
    denoiser: Any = None,
    *,
    others_read: bool = False,
) -> Condition:
    """The condition of `batch` samples with arrays for leaves; None where it is None or empty.

    Args:
        condition: the condition.
        batch: number of samples.
        denoiser: None, or what will be told of it, a `BaseDenoiser`: it may refuse what it does
            not know.
        others_read: whether there is someone else who reads of it, as a constraint does.

    Raises:
        UsageError: it is no mapping, or an array in it has not one row for each sample, is none of
            numbers, or holds what the denoiser does not know, as a label that is none of its
            classes; or nobody reads what has that name.
    """
    if condition is None:
        return None
    if not isinstance(condition, Mapping):
        raise UsageError(
            "A condition maps names to arrays [batch, ...], for instance {'label': labels}, and is "
            f"not a {type(condition).__name__}."
        )
    if denoiser is not None:  # before large integers are cut to 32 bits
        denoiser.check_condition(condition)
    condition = {name: _arrays(name, value) for name, value in condition.items()}
    for name, value in condition.items():
        for leaf in jax.tree.leaves(value):
            if leaf.shape[:1] != (batch,):
                raise UsageError(
                    f"The condition {name!r} of {batch} samples needs arrays [{batch}, ...], got "
                    f"one of shape {leaf.shape}."
                )
    if denoiser is not None and not others_read:
        _check_names(condition, denoiser.condition_names)
    return condition or None


def _check_names(condition, known):
    for name in condition:
        if known is not None and name not in known:
            raise UsageError(
                f"The network reads no condition {name!r}.{closest(name, sorted(known))} It reads "
                f"{', '.join(sorted(known)) or 'none'}."
            )


def _arrays(name: str, value: Any) -> Any:
    """`value` with arrays for leaves."""
    try:
        return jax.tree.map(jnp.asarray, value)
    except (TypeError, ValueError) as error:  # text, objects, rows of different lengths
        raise UsageError(f"The condition {name!r} must hold arrays of numbers: {error}") from error


def one_by_one(condition: Condition) -> Condition:
    """With a batch of one for each sample: what a solver that runs sample by sample maps over."""
    return jax.tree.map(lambda rows: rows[:, None], condition)
