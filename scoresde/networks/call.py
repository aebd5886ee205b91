"""A module called with parameters; where they do not fit its input, that is one line."""

import re
from typing import Any

import flax.linen as nn
import jax
from flax import errors

from scoresde import channels
from scoresde.errors import first_line
from scoresde.registry import UsageError

_MISFITS = (
    errors.ScopeParamShapeError,
    errors.ScopeParamNotFoundError,
    errors.ScopeCollectionNotFound,
    errors.ApplyScopeInvalidVariablesStructureError,
    errors.ApplyScopeInvalidVariablesTypeError,
)


def call(module: nn.Module, params: Any, x: jax.Array, *arguments: Any, **options: Any) -> Any:
    """`module.apply({"params": params}, x, *arguments, **options)`.

    Raises:
        UsageError: the parameters are of another module, or of images of other channels than x's;
            or x has other axes than images and the module cannot take it.
    """
    try:
        return module.apply({"params": params}, x, *arguments, **options)
    except _MISFITS as error:
        reason = _other_channels(str(error), x) or _shortened(str(error))
        raise UsageError(
            f"The network's parameters do not fit x of shape {list(x.shape)}: {reason}"
            f"{channels.hint(x.shape)}"
        ) from error
    except UsageError:
        raise
    except (IndexError, TypeError, ValueError) as error:  # whatever the first layers stumble over
        if x.ndim == 4:
            raise
        reason = first_line(error).rstrip(".")
        raise UsageError(
            f"The network cannot take x of shape {list(x.shape)} ({reason}): images are [batch, "
            "height, width, channels]."
        ) from error


def _other_channels(message, x):
    """What a kernel says whose shape differs in the number of its inputs; "" for anything else."""
    found = re.findall(r"\((\d+(?:, \d+)+)\)", message)
    shapes = [tuple(map(int, shape.split(","))) for shape in found]
    if len(shapes) != 2 or len(shapes[0]) != len(shapes[1]):
        return ""
    needed, there = shapes
    if needed[:-2] + needed[-1:] != there[:-2] + there[-1:] or needed[-2] == there[-2]:
        return ""
    given = x.shape[-1]
    made_for = there[-2] * given / needed[-2]  # a layer may see x several times over
    if made_for != int(made_for):
        return ""
    return f"x has {given} channels, and they are of images of {int(made_for)}."


def _shortened(message):
    """Flax's message without its link."""
    message = " ".join(message.partition("(https://")[0].split())
    return f"they are of another network ({message.rstrip('.')})."
