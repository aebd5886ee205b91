"""A training state as the items of a checkpoint, each a folder that can be read by itself.

params          the parameters
NAME_params     an average of them, for each by its name: `ema_params`
training        what only a resumed run needs (step, key, optimizer state, the loss's memory)
extra           JSON: the format, how many steps were skipped (none if it does not say so, as in
                the first versions), and what the caller adds

Keeping the parameters apart lets a sampler read an average without the rest.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from scoresde.training.state import TrainState
from scoresde.training.tree import by_name

PyTree = Any

FORMAT = 1
_SUFFIX = "_params"


def params_item(average: str | None) -> str:
    """The item of an average, or of the raw parameters if that is None."""
    return "params" if average is None else average + _SUFFIX


def averages_in(directory: pathlib.Path) -> list[str]:
    """The names of the averages that are in a checkpoint's directory, sorted."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in directory.glob(f"*{_SUFFIX}"))


def to_items(state: TrainState) -> dict[str, PyTree]:
    """The items that hold arrays, from a state of concrete or abstract ones.

    The optimizer's containers are its library's affair, so `training` is stored flat, by path.
    """
    averages = {params_item(name): average for name, average in state.averages.items()}
    return {"params": state.params, **averages, "training": by_name(_training(state))}


def from_items(
    items: dict[str, PyTree], abstract_state: TrainState, skipped: Sequence[int]
) -> TrainState:
    """The state whose items, of the structure of `to_items(abstract_state)`, these are."""
    training = _training(abstract_state)
    leaves = [items["training"][name] for name in by_name(training)]
    return TrainState(
        params=items["params"],
        averages={name: items[params_item(name)] for name in abstract_state.averages},
        skipped=jax.device_put(np.asarray(skipped, np.int32), abstract_state.skipped.sharding),
        **jax.tree.unflatten(jax.tree.structure(training), leaves),
    )


def _training(state: TrainState) -> dict[str, PyTree]:
    names = "step", "key", "opt_state", "memory"
    return {name: getattr(state, name) for name in names}
