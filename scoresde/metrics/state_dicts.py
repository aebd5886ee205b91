"""Weights of a published network by the names of its file, complete and of the right shapes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scoresde.pretrained.file_kinds import some
from scoresde.registry import UsageError, shown


def checked(
    network: str,
    state_dict: Any,
    shapes: Mapping[str, Sequence[int]],
    ignored: tuple[str, ...] = (),
    hint: str = "",
) -> dict[str, np.ndarray]:
    """The weights in float32.

    Args:
        network: what they must be of, for the error message.
        state_dict: arrays, or tensors of PyTorch's, by name.
        shapes: the shape of each name that must be there; no others may.
        ignored: ends of names that may be there and are not read.
        hint: a sentence for the end of the error message.

    Raises:
        UsageError: names are missing or unexpected, or weights of another shape or no numbers.
    """
    if not isinstance(state_dict, Mapping):
        raise UsageError(
            f"The weights of {network} are arrays by name, not {shown(state_dict)}: give its state "
            "dict."
        )
    given = {
        name: value for name, value in state_dict.items() if not str(name).endswith(ignored or "\0")
    }
    faults = {
        "missing": [name for name in shapes if name not in given],
        "unexpected": [name for name in given if name not in shapes],
        "of another shape": [
            f"{name} {list(np.shape(given[name]))} for {list(shape)}"
            for name, shape in shapes.items()
            if name in given and tuple(np.shape(given[name])) != tuple(shape)
        ],
    }
    if any(faults.values()):
        said = "; ".join(
            f"{len(names)} {what} ({some(names, 3)})" for what, names in faults.items() if names
        )
        raise UsageError(f"These are not the weights of {network}: {said}.{hint and ' ' + hint}")
    return {name: _float32(name, given[name]) for name in shapes}


def _float32(name, value):
    if hasattr(value, "detach"):  # a tensor of PyTorch's
        value = value.detach().cpu().float().numpy()
    try:
        return np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The weight {name} is no array of numbers: {error}.") from error
