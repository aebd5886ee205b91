"""Class labels that a network is given, checked where their values are known.

A label that is no class embeds as "no class": the network would silently be asked for something
else than it was told.
"""

from typing import Any

import jax
import numpy as np

from scoresde.meshes import is_known
from scoresde.registry import UsageError


def check_labels(labels: Any, num_classes: int) -> None:
    """Checks labels as `scoresde.networks.embeddings.ClassEmbedding` takes them.

    The type and the shape are checked always, the values where they are known: not while JAX
    traces, nor of an array that is partly on other hosts.

    Args:
        labels: integers 0 .. num_classes, [batch] or one for all, where num_classes stands for "no
            class"; or [batch, num_classes], one-hot or a mixture of classes, zeros for "no class".
        num_classes: the number of classes, at least one.

    Raises:
        UsageError: labels of another type or shape, outside of the classes, or not finite.
    """
    if not hasattr(labels, "dtype"):
        labels = np.asarray(labels)
    rows = labels.ndim == 2
    whole = np.issubdtype(labels.dtype, np.integer)
    number = labels.dtype == bool or jax.numpy.issubdtype(labels.dtype, np.number)
    if not (number and labels.shape[1] == num_classes if rows else labels.ndim < 2 and whole):
        raise UsageError(
            f"The label must be integers [batch], or one-hot [batch, {num_classes}], of the "
            f"network's {num_classes} classes, not {labels.dtype} {list(labels.shape)}."
        )
    if not is_known(labels):
        return
    values = np.asarray(labels)
    if rows:
        if not np.isfinite(values).all():
            raise UsageError("The label's one-hot rows hold values that are not finite.")
    elif values.size and not 0 <= values.min() <= values.max() <= num_classes:
        raise UsageError(
            f"The label must be 0 .. {num_classes - 1}, the network's classes, or {num_classes} "
            f"for no class, but goes from {values.min()} to {values.max()}."
        )
