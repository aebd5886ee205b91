"""Checks of what users give a likelihood, made before anything is computed."""

from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from scoresde.meshes import is_known
from scoresde.registry import UsageError, first_line
from scoresde.sdes import SDE
from scoresde.times import is_traced, require_noise


def check_choice(name: str, value: str, known: Iterable[str]) -> None:
    """Raises UsageError for a value that is not among the known ones."""
    if value not in known:
        raise UsageError(f"Unknown {name} {value!r}. Known: {', '.join(known)}.")


def check_known(**values: float | None) -> None:
    """Raises UsageError for a number that JAX is tracing."""
    for name, value in values.items():
        if is_traced(value):
            raise UsageError(
                f"{name} must be known before a program is compiled: keep it out of the arguments "
                "of jit, grad and vmap."
            )


def check_counts(**counts: int) -> None:
    """Raises UsageError for a number that is not a positive integer."""
    for name, value in counts.items():
        if int(value) != value or value < 1:
            raise UsageError(f"{name} must be a positive integer, got {value}.")


def check_values(x: ArrayLike) -> Array:
    """Real values [batch, ...], in float32 at least (bfloat16 would be the type of all sums too).

    Raises:
        UsageError: they are not real, or there are none.
    """
    try:
        x = jnp.asarray(x)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"A density is of arrays of real values [batch, ...]: {first_line(error)}"
        ) from None
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise UsageError(
            f"A density is of real values, got {x.dtype}: dequantize integer images first "
            "(scoresde.data.dequantize) and scale them to the denoiser's range, or take a bound "
            "of their levels (vdm, ddpm)."
        )
    if x.ndim < 2 or x.size == 0:
        raise UsageError(f"A density is of values of shape [batch, ...], got {x.shape}.")
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def check_images(images: ArrayLike, bins: int, level_range: tuple[float, float]) -> Array:
    """The levels of images as int32, [batch, ...].

    Raises:
        UsageError: they are not integers in 0 .. bins - 1, or there are none, or bins or
            level_range make no sense.
    """
    low, high = level_range
    if bins < 2 or not low < high:
        raise UsageError(
            f"A bound on discrete images needs bins >= 2 and level_range low < high, "
            f"got {bins} and {level_range}."
        )
    known = is_known(images)
    images = np.asarray(images) if known else images
    if not jnp.issubdtype(images.dtype, jnp.integer) or images.ndim < 2 or images.size == 0:
        raise UsageError(
            f"This bound takes the integer levels of images, [batch, ...], got {images.dtype} of "
            f"shape {images.shape}; for real values use score_flow or the exact likelihood."
        )
    if known and (images.min() < 0 or images.max() >= bins):
        raise UsageError(
            f"Levels must lie in 0 .. {bins - 1}, got {images.min()} .. {images.max()}; "
            "give the number of gray levels as bins."
        )
    return jnp.asarray(images, jnp.int32)


def check_t_min(sde: SDE, t_min: float | None) -> float:
    """`t_min`, the process's own if None.

    Raises:
        UsageError: it is outside the process's range, or without noise, where a bound diverges
            (which cannot be known of a process that is traced).
    """
    check_known(t_min=t_min)
    t_min = float(sde.t_min if t_min is None else t_min)
    if not sde.t_min <= t_min < sde.t_max:
        raise UsageError(f"t_min must lie in [{sde.t_min}, {sde.t_max}), got {t_min}.")
    require_noise(sde, t_min, "The bound")
    return t_min
