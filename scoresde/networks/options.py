"""Checks of the options that network factories take, made before anything is computed."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp

from scoresde import channels
from scoresde.registry import UsageError

DTYPES = ("float32", "bfloat16", "float64")
ATTENTION_IMPLEMENTATIONS = ("xla", "cudnn")


def one_of(network: str, name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """`value`, if it is among `allowed`.

    Raises:
        UsageError: it is not.
    """
    allowed = list(allowed)
    if value not in allowed:
        raise UsageError(
            f"network {network!r}: {name}={value!r} is not one of {', '.join(map(repr, allowed))}."
        )
    return value


def in_range(
    network: str, name: str, value: Any, low: float, high: float = float("inf"), *, kind: type
) -> Any:
    """`value`, if it is a number of the kind (int, or float for any real) with low <= value < high.

    Raises:
        UsageError: it is not.
    """
    kinds = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value < high:
        noun = "an integer" if kind is int else "a number"
        bound = f"of at least {low}" if high == float("inf") else f"in [{low}, {high})"
        raise UsageError(f"network {network!r}: {name}={value!r} must be {noun} {bound}.")
    return value


def numbers(network: str, name: str, value: Any, *, kind: type = int, least: int = 0) -> tuple:
    """A sequence of positive numbers (a list, as in JSON, or a tuple) as a tuple.

    Raises:
        UsageError: it is no sequence of at least `least` positive numbers of that kind.
    """
    kinds = (int,) if kind is int else (int, float)
    if (
        not isinstance(value, Sequence)
        or isinstance(value, str)
        or len(value) < least
        or not all(isinstance(v, kinds) and not isinstance(v, bool) and v > 0 for v in value)
    ):
        noun = "positive integers" if kind is int else "positive numbers"
        raise UsageError(
            f"network {network!r}: {name}={value!r} must be a list of {noun}, at least {least}."
        )
    return tuple(value)


def compute_options(network: str, dtype: str, attention_implementation: str = "xla") -> jnp.dtype:
    """The computation type, checked together with the attention kernel that has to support it.

    Raises:
        UsageError: an unknown name, float64 where JAX has none, or cuDNN attention without
            bfloat16.
    """
    one_of(network, "dtype", str(dtype), DTYPES)
    one_of(network, "attention_implementation", attention_implementation, ATTENTION_IMPLEMENTATIONS)
    if attention_implementation == "cudnn" and str(dtype) != "bfloat16":
        raise UsageError(
            f"network {network!r}: attention_implementation='cudnn' needs dtype='bfloat16'."
        )
    if str(dtype) == "float64" and jnp.result_type(float) != jnp.float64:
        raise UsageError(
            f"network {network!r}: dtype='float64' needs jax_enable_x64, JAX's 64 bits."
        )
    return jnp.dtype(dtype)


def class_options(network: str, num_classes: int | None, label_dropout: float) -> None:
    """Checks the options of class conditioning.

    Raises:
        UsageError: out of range, or labels to drop without classes.
    """
    in_range(network, "label_dropout", label_dropout, 0, 1, kind=float)
    if num_classes is not None:
        in_range(network, "num_classes", num_classes, 1, kind=int)
    elif label_dropout > 0:
        raise UsageError(
            f"network {network!r}: label_dropout={label_dropout} has no labels to drop; "
            "give num_classes as well."
        )


def sigma_table(network: str, sigma_min: float, sigma_max: float, num_scales: int) -> None:
    """Checks the options of a geometric table of noise levels.

    Raises:
        UsageError: it would not be one.
    """
    in_range(network, "num_scales", num_scales, 2, kind=int)
    if not 0 < sigma_min < sigma_max:
        raise UsageError(
            f"network {network!r}: sigma_min={sigma_min} and sigma_max={sigma_max} must satisfy "
            "0 < sigma_min < sigma_max."
        )


def divisible_image(network: str, shape: Sequence[int], num_resolutions: int) -> None:
    """Checks that images [..., height, width, channels] can be halved `num_resolutions` - 1 times.

    Raises:
        UsageError: they cannot.
    """
    height, width = shape[-3:-1]
    factor = 2 ** (num_resolutions - 1)
    if height % factor or width % factor:
        raise UsageError(
            f"network {network!r}: with {num_resolutions} resolutions an image's height and "
            f"width must be divisible by {factor}, but it is {height}x{width}."
            f"{channels.hint(shape)}"
        )


def labels_have_classes(network: str, labels: Any, num_classes: int | None) -> None:
    """Checks that labels are given only to a class-conditional network.

    Raises:
        UsageError: labels without classes.
    """
    if labels is not None and num_classes is None:
        raise UsageError(
            f"network {network!r} is unconditional but was given labels; "
            "build it with num_classes, or leave the labels out."
        )
