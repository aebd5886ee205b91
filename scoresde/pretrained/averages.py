"""Choosing a set of weights from a checkpoint, and giving averages what they lack.

Averages cover what is trained. Tables and frequencies that are not, they take from the weights as
trained; so do their names, where they have none:

- a list is in the order of the model's parameters: the trained ones (score_sde_pytorch, torch_ema),
  all of them (diffusers), or all of the state dict. Which, its shapes say, every one and in order;
- LitEma of CompVis takes the dots out of the names.
"""

import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scoresde.pretrained import array_file
from scoresde.pretrained.file_kinds import some
from scoresde.pretrained.stand_ins import contents
from scoresde.pretrained.tensors import Tensor
from scoresde.pretrained.weights import Checkpoint, array
from scoresde.pretrained.wrappers import Naming, Weights, collect, is_array
from scoresde.registry import UsageError

STEPS = ("step", "global_step", "iteration", "iter", "n_iter")
"""What training scripts call their number of steps."""


def load(
    path_or_content: str | pathlib.Path | Mapping[str, Any], naming: Naming, *, raw: bool
) -> Checkpoint:
    """The weights in a file, or in what a file holds, by the project's own names.

    Args:
        path_or_content: a path, with a # and the name of one set of weights if there are several;
            or a mapping.
        naming: how the project calls its weights.
        raw: whether to take the weights as trained instead of their moving average.

    Raises:
        UsageError: an unreadable file, and see `choose`.
    """
    if isinstance(path_or_content, Mapping):
        return choose(path_or_content, naming, raw=raw)
    path, part = pathlib.Path(path_or_content), None
    name, mark, rest = str(path).rpartition("#")
    if mark and not path.exists():
        path, part = pathlib.Path(name), rest
    return choose(array_file.read(path), naming, raw=raw, part=part, name=str(path))


def choose(
    content: Any,
    naming: Naming,
    *,
    raw: bool,
    part: str | None = None,
    name: str = "the checkpoint",
) -> Checkpoint:
    """The weights in a checkpoint by the project's own names.

    Args:
        content: what a file holds, or a state dict.
        naming: how the project calls them.
        raw: whether to take the weights as trained instead of their moving average.
        part: which set of weights to take, as an error called it.
        name: what to call the checkpoint in errors.

    Raises:
        UsageError: there are none, or more than one that might be meant; what was found is listed.
    """
    found, others = collect(content, naming)
    if not found:
        raise UsageError(
            f"In {name} is no state dict of {naming.project}'s: no array has a name such as "
            f"{naming.example}. It has {some(others, 3) if others else 'no named arrays'}."
        )
    trained = _distinct([weights for weights in found if not weights.averaged])
    averaged = [weights for weights in found if weights.averaged]
    if part is not None:
        chosen = [weights for weights in found if weights.label == part]
        if not chosen:
            raise UsageError(f"{name} has no weights {part!r}, but {_listed(found)}.")
    elif raw:
        chosen = trained
        if not trained:
            raise UsageError(f"{name} has no weights as trained, but averages: {_listed(found)}.")
    else:
        chosen = averaged or trained
        own = contents(contents(content).get("model")) if contents(content) else None
        # score_sde_pytorch's own checkpoints have the weights as trained under this name.
        if own is not None and not averaged and all(w.where[:1] == ("model",) for w in trained):
            raise UsageError(
                f"{name} has no ema.shadow_params nor other averages; load the weights as trained "
                "with raw=True (--raw)."
            )
    sets = _distinct(_complete(chosen, trained, name, naming))
    if len(sets) > 1:  # two copies are one, but to compare them takes reading them
        sets = _distinct(sets, _equal)
    if len(sets) > 1:
        raise UsageError(
            f"{name} has {len(sets)} sets of weights that may be meant: {_listed(sets)}. Say which "
            f"after a #, as in 'FILE#{sets[0].label}', or give that part of it alone."
        )
    averaged = {"averaged": True, "trained": False}.get(sets[0].kind)
    return Checkpoint(sets[0].arrays, step_of(content), False if raw else averaged)


def _listed(sets: list[Weights]) -> str:
    """Sets of weights and their sizes."""
    return some([f"{w.label or 'itself'} ({len(w.arrays)} arrays)" for w in sets])


def _distinct(sets: list[Weights], same: Callable[[Any, Any], bool] | None = None) -> list[Weights]:
    """The sets without those that are others again, as where a checkpoint has two keys for one."""
    same, distinct = same or _same, []
    for weights in sets:
        if not any(same(weights.arrays, other.arrays) for other in distinct):
            distinct.append(weights)
    return distinct


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        _shape(value) == _shape(other[name]) and np.array_equal(array(value), array(other[name]))
        for name, value in one.items()
    )


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        value is other[name] or (isinstance(value, Tensor) and value == other[name])
        for name, value in one.items()
    )


def _complete(
    chosen: list[Weights], trained: list[Weights], name: str, naming: Naming
) -> list[Weights]:
    """The sets of weights by name, and with what has no average.

    Raises:
        UsageError: none of them can be.
    """
    complete = []
    for weights in chosen:
        if not weights.averaged or (weights.form == "named" and not trained):
            complete.append(weights)
        else:
            named = [_named(weights, raw.arrays, naming) for raw in trained]
            fitting = _distinct(
                [
                    Weights(where=weights.where, kind="averaged", arrays=arrays)
                    for arrays in named
                    if arrays is not None
                ]
            )
            if len(fitting) > 1:
                raise UsageError(
                    f"{name} has averages, {weights.label}, that may be of any of "
                    f"{_listed(trained)}. Give them with their own: {{'model': state dict, 'ema': "
                    "averages}, or load one as trained: raw=True (--raw)."
                )
            complete += fitting
    if not complete:
        first = chosen[0]
        if not trained:
            raise UsageError(
                f"{name} has {len(first.arrays)} moving averages ({first.label}) without names, "
                "and no weights with names. Give {'model': state dict, 'ema': averages}."
            )
        of = f"those of its {len(trained[0].arrays)}" if len(trained) == 1 else "those of any"
        raise UsageError(
            f"{name} has {len(first.arrays)} moving averages ({first.label}) whose names, number "
            f"and shapes are not {of} trained parameters; load the weights as trained with "
            "raw=True (--raw)."
        )
    for weights in complete:
        for key, value in weights.arrays.items():
            if not is_array(value) and not isinstance(value, int | float):
                kind = getattr(type(value), "name", "") or type(value).__name__
                raise UsageError(f"In {name}, {key} is no array, but of {kind}.")
    return complete


def _named(weights: Weights, model: Mapping[str, Any], naming: Naming) -> dict[str, Any] | None:
    """Averages by the names of the weights that they are of; None if they are not of these."""
    averages: Mapping[str, Any] = weights.arrays
    if weights.form == "dotless":
        dotted = {name.replace(".", ""): name for name in model}
        if len(dotted) < len(model) or not averages.keys() <= dotted.keys():
            return None
        averages = {dotted[name]: value for name, value in averages.items()}
    elif weights.form == "list":
        averages = _in_order(weights.arrays, model, naming)
    if not all(name in averages or naming.untrained.search(name) for name in model):
        return None
    if any(_shape(averages[name]) != _shape(model[name]) for name in averages if name in model):
        return None
    return {**model, **averages}


def _in_order(values: list[Any], model: Mapping[str, Any], naming: Naming) -> dict[str, Any]:
    """A list of averages by name; nothing if its shapes are not those of the model."""
    if list(model) == sorted(model):  # no network's order: a weight comes before its bias
        return {}
    trained = [name for name in model if not naming.untrained.search(name)]
    parameters = [name for name in model if not naming.buffers.search(name)]
    for names in (trained, parameters, list(model)):
        if [_shape(model[name]) for name in names] == [_shape(value) for value in values]:
            return dict(zip(names, values))
    return {}


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if is_array(value) else None


def step_of(content: Any) -> int:
    """The number of training steps that a checkpoint says it is of; 0 if it says none."""
    inside = contents(content) or {}
    for key in STEPS:
        value = inside.get(key)
        if is_array(value) and math.prod(value.shape) == 1:
            value = array(value).reshape(()).item()
        if isinstance(value, int | float | np.number) and math.isfinite(value) and value >= 0:
            return int(value)
    return 0
