"""A config in full: every key that its sections can have, with what each is.

What a key is, is read from the docstring of whatever takes it: the sections of
`scoresde.experiment.sections`, and the components that the config names.
"""

import ast
import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_collections

from scoresde import codecs, data, losses, networks, predictions, samplers, training
from scoresde.augmentations import AUGMENTATIONS
from scoresde.experiment import documented, sections
from scoresde.experiment.build import LIKELIHOOD_BATCH_SIZE, build, plain
from scoresde.experiment.experiment import Experiment, Sampling
from scoresde.likelihood import ExactLikelihood
from scoresde.registry import lookup
from scoresde.sdes import SDES
from scoresde.times import DISTRIBUTIONS, GRIDS


class Key(NamedTuple):
    """A key of a config.

    Attributes:
        value: its value, or the keys of its section by name.
        words: what it is; "" where nothing says so.
    """

    value: Any
    words: str


class _Family(NamedTuple):
    """The components that a section makes one of; what `build` itself gives it is no key there."""

    words: str
    table: Mapping[str, Callable]
    given: tuple[str, ...] = ()
    name: str = "name"


_FAMILIES = {
    "data.source": _Family("data source", data.SOURCES),
    "data.codec": _Family(
        "codec", codecs.CODECS, ("image_shape", "bins", "data_range", "dequantize")
    ),
    "sde": _Family("SDE", SDES),
    "prediction": _Family("prediction", predictions.PREDICTIONS),
    "prediction.time_input": _Family("time input", predictions.TIME_INPUTS),
    "network": _Family("network", networks.NETWORKS | networks.CLASSIFIERS),
    "loss": _Family(
        "objective",
        losses.OBJECTIVES,
        ("sde", "prediction", "network", "codec"),
        "objective",
    ),
    "loss.weighting": _Family("weighting", losses.WEIGHTINGS),
    "loss.times": _Family("time distribution", DISTRIBUTIONS, ("sde",)),
    "loss.augmentation": _Family("augmentation", AUGMENTATIONS),
    "optimizer": _Family(
        "optimizer", training.OPTAX_OPTIMIZERS | training.OPTIMIZERS, ("learning_rate",)
    ),
    "sampler": _Family("sampler", samplers.SAMPLERS),
    "dequantizer.network": _Family("network", networks.DEQUANTIZERS),
}
_FAMILIES["dequantizer.optimizer"] = _FAMILIES["optimizer"]
# What a section takes beside the options of its component, and who says what they are.
_BESIDE = {
    "optimizer": training.make_optimizer,
    "dequantizer.optimizer": training.make_optimizer,
    "sampler": Sampling,
    "network": networks.conditioned,
}
# Sections that are read by one class or function.
_KINDS = {
    "": sections.Config,
    "data": sections.Data,
    "training": sections.Training,
    "dequantizer": sections.DequantizerTraining,
    "likelihood": ExactLikelihood,
}

_NOTHING = object()


def resolved(config: ml_collections.ConfigDict | Mapping[str, Any]) -> dict[str, Key]:
    """Every key of a config, in order; those that it leaves out have their defaults.

    A default that no config can write, an object, is left out.

    Args:
        config: as `build` takes it.

    Raises:
        UsageError: as `build`.
    """
    build(config)
    return _section("", plain(config))


def _section(where: str, given: Any) -> dict[str, Key]:
    if where.startswith("training.averages."):
        return _component(where, _Family("average", training.AVERAGES), given)
    if where in _FAMILIES:
        return _component(where, _FAMILIES[where], given)
    kind = _KINDS[where]
    values, words = _options(kind), documented.options(kind)
    if where == "likelihood":
        values["batch_size"] = LIKELIHOOD_BATCH_SIZE
        words["batch_size"] = documented.options(Experiment)["likelihood_batch_size"]
    if where == "dequantizer":
        words = documented.options(sections.Training) | words
    return _keys(where, values, given, words)


def _component(where: str, family: _Family, given: Any) -> dict[str, Key]:
    given = sections.named(where, given)
    name = given[family.name]
    component = lookup(family.words, family.table, name)
    values, words = _options(component, where, family.given), documented.options(component)
    if where in _BESIDE:
        values |= _options(_BESIDE[where], where, ("name", "sampler", "num_steps", "network"))
        words |= documented.options(_BESIDE[where])
    words[family.name] = documented.summary(component)
    return _keys(where, {family.name: name} | values, given, words)


def _options(
    component: Callable, where: str = "", leave_out: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The options of a component and their defaults; `_NOTHING` where no config can write it."""
    values = {}
    for name, parameter in inspect.signature(component).parameters.items():
        if name not in leave_out and parameter.kind is not parameter.VAR_KEYWORD:
            values[name] = _as_section(f"{where}.{name}", parameter.default)
    if dataclasses.is_dataclass(component):  # a signature does not show what factories make
        made = sections.defaults(component).items()
        values |= {k: v for k, v in made if k in values and not _can_be_written(values[k])}
    return {name: v if _can_be_written(v) else _NOTHING for name, v in values.items()}


def _as_section(path: str, default: Any) -> Any:
    """A default that is a component of a family as its section."""
    table = _FAMILIES[path].table if path in _FAMILIES else {}
    for name, kind in table.items():
        if type(default) is kind:
            fields = dataclasses.fields(default)
            return {"name": name, **{field.name: getattr(default, field.name) for field in fields}}
    return default


def _can_be_written(value: Any) -> bool:
    try:
        return ast.literal_eval(repr(value)) == value
    except (ValueError, SyntaxError):
        return False


def _keys(
    where: str, values: dict[str, Any], given: Mapping[str, Any], words: Mapping[str, str]
) -> dict[str, Key]:
    """`values`, in their order, as `given` changes them and adds to them."""
    keys = {}
    for key, value in (values | given).items():
        if value is _NOTHING:
            continue
        path = f"{where}.{key}" if where else key
        if path == "training.averages":
            said = "an average of this name."
            value = {name: Key(_section(f"{path}.{name}", v), said) for name, v in value.items()}
        elif path == "sampler.grid" and isinstance(value, Mapping):  # else a name, or times
            value = _component(path, _Family("time grid", GRIDS), value)
        elif key == "schedule" and isinstance(value, Mapping):
            family = _Family("learning-rate schedule", training.OPTAX_SCHEDULES)
            value = _component(path, family, value)
        elif value is not None and (path in _FAMILIES or path in _KINDS):
            value = _section(path, value)
        keys[key] = Key(value, words.get(key, ""))
    return keys
