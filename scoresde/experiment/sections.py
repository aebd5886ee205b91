"""The plain values of a config: every key that there is, with its type and its default.

A key that no section has is an error, as is a value of another type. What comes here are
dictionaries: `scoresde.experiment.build` makes them of a ConfigDict.
"""

import dataclasses
import numbers
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from scoresde.channels import channels_first
from scoresde.registry import UsageError, closest

Section = TypeVar("Section")


SAMPLER_STEPS = 100
"""Of a sampler along a grid, where neither the config nor the process says how many."""


def _count(default: Any = dataclasses.MISSING, least: int = 1) -> Any:
    """A field that counts something, from `least` on."""
    return dataclasses.field(default=default, metadata={"least": least})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The sections of an experiment.

    Attributes:
        seed: of everything random, 0 .. 2^32 - 1.
        data: what is modeled, see `Data`.
        sde: the forward process: a name of `scoresde.sdes.SDES`, or a section of it and options.
        prediction: how the network is fed and read, of `scoresde.predictions.PREDICTIONS`.
        network: of `scoresde.networks.NETWORKS`, or a classifier of `CLASSIFIERS` there.
        loss: the objective: its name in "objective", and its options; or its name.
        optimizer: of `scoresde.training.OPTIMIZERS`, with its learning rate and schedule.
        training: how long is trained, and how it is watched, see `Training`.
        sampler: of `scoresde.samplers.SAMPLERS`, with `steps`, `grid`, `t_min` and `clip`; the
            probability flow if it has no name. Without `steps`, one that needs them takes all of a
            discrete process, and else `SAMPLER_STEPS`.
        likelihood: `batch_size`, 32 if not given, and the options of
            `scoresde.likelihood.ExactLikelihood`.
        dequantizer: the flow of variational dequantization, and how it is trained.
    """

    seed: int = 42
    data: dict
    sde: Any
    prediction: Any
    network: Any
    loss: Any = dataclasses.field(default_factory=dict)
    optimizer: Any = dataclasses.field(default_factory=dict)
    training: dict
    sampler: Any = dataclasses.field(default_factory=dict)
    likelihood: dict = dataclasses.field(default_factory=dict)
    dequantizer: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"config.seed must be 0 .. 2^32 - 1, got {self.seed}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """What is modeled.

    Attributes:
        source: the data set, of `scoresde.data.SOURCES`.
        image_shape: (height, width, channels); of other data, the shape of one sample.
        codec: the way of an image to the network and back, of `scoresde.codecs.CODECS`.
        data_range: (low, high), what the network works in.
        dequantize: add uniform noise of one level to the training images.
        flip: mirror training images at random.
        labels: feed the classes to the network, as the condition "label".
        condition: names of further arrays of the data to feed to it.
        condition_from: feed it what is made of each image: a section of
            `scoresde.degradations.get`, as {"name": "super_resolution", "factor": 4}; None for
            nothing.
    """

    source: Any
    image_shape: tuple
    codec: Any = "images"
    data_range: tuple = (-1.0, 1.0)
    dequantize: bool = False
    flip: bool = False
    labels: bool = False
    condition: tuple = ()
    condition_from: Any = None

    def __post_init__(self):
        image = self.codec in ("images", {"name": "images"})
        whole = all(isinstance(n, numbers.Integral) and n > 0 for n in self.image_shape)
        if not whole or not self.image_shape or (image and len(self.image_shape) != 3):
            raise UsageError(
                "config.data.image_shape must be (height, width, channels), not "
                f"{self.image_shape}."
            )
        if image and channels_first(self.image_shape):
            height, width = self.image_shape[1:]
            raise UsageError(
                "config.data.image_shape must be (height, width, channels), not "
                f"{self.image_shape}: set it to {(height, width, self.image_shape[0])}."
            )
        ends = all(isinstance(end, numbers.Real) for end in self.data_range)
        if not ends or len(self.data_range) != 2:
            raise UsageError(f"config.data.data_range must be (low, high), not {self.data_range}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How long is trained, and how it is watched.

    Attributes:
        batch_size: over all devices.
        num_steps: length of the run.
        steps_per_dispatch: updates a call of the compiled step.
        accumulate: parts of a batch whose gradients are averaged one after the other.
        fsdp: devices that share one copy of the state, each with a part of the parameters, averages
            and what the optimizer keeps; -1 for all of them.
        fsdp_from: elements from which on a parameter is split over these.
        ema_rate: of the average called "ema".
        ema_half_life: in images, in place of its rate, which it makes 2^(-batch_size / half-life).
        ema_warmup: "none", "inverse" or "edm", see `scoresde.training.EMA`.
        averages: further averages of the parameters by name, of `scoresde.training.AVERAGES`; one
            called "ema" takes the place of that of `ema_rate`.
        snapshot_every: steps between snapshots of the power-function averages, of which
            `scoresde ema` puts others together; 0 for none.
        snapshot_dtype: "float32", or "float16" for half of the space.
        log_every: steps between lines of the log.
        eval_every: steps between evaluations; 0 for none.
        sample_every: steps between grids of samples; 0 for none.
        eval_fd_every: steps between Frechet distances of samples from the training images, which
            are logged as "eval_fd"; 0 for none.
        eval_fd_num: samples of each; distances of other numbers do not compare.
        eval_features: the features that they are of, of `scoresde.metrics.features.EXTRACTORS`; of
            bundled data those of their classifier, and else Inception's.
        checkpoint_every: steps between checkpoints.
        keep: how many of the latest checkpoints are kept; None for all.
        keep_every: steps between checkpoints that are kept for good; None for none.
        max_skipped_in_a_row: steps in a row that may be skipped, since their loss or gradient is
            not finite, before the run stops; 0 stops it at the first.
        wandb: the project of Weights & Biases that the run is logged to, too; None for none.
    """

    batch_size: int = _count()
    num_steps: int = _count()
    steps_per_dispatch: int = _count(1)
    accumulate: int = _count(1)
    fsdp: int = _count(1, least=-1)
    fsdp_from: int = _count(2**16)
    ema_rate: float = 0.9999
    ema_half_life: float | None = None
    ema_warmup: str = "none"
    averages: dict = dataclasses.field(default_factory=dict)
    snapshot_every: int = _count(0, least=0)
    snapshot_dtype: str = "float32"
    log_every: int = _count(50)
    eval_every: int = _count(100, least=0)
    sample_every: int = _count(50_000, least=0)
    eval_fd_every: int = _count(0, least=0)
    eval_fd_num: int = _count(1000, least=2)
    eval_features: Any = None
    checkpoint_every: int = _count(10_000)
    keep: int | None = _count(2)
    keep_every: int | None = _count(50_000)
    max_skipped_in_a_row: int = _count(10, least=0)
    wandb: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DequantizerTraining:
    """The flow of variational dequantization, and how it is trained.

    Attributes:
        network: its options, of `scoresde.networks.dequantizer_network`.
        optimizer: as that of the score model; all that follow are as in `Training`.
    """

    network: Any = dataclasses.field(default_factory=dict)
    optimizer: Any = dataclasses.field(default_factory=dict)
    batch_size: int = _count(128)
    num_steps: int = _count(300_001)
    steps_per_dispatch: int = _count(1)
    accumulate: int = _count(1)
    ema_rate: float = 0.99
    log_every: int = _count(50)
    checkpoint_every: int = _count(10_000)
    keep: int | None = _count(2)
    keep_every: int | None = _count(None)
    max_skipped_in_a_row: int = _count(10, least=0)


def defaults(kind: type) -> dict[str, Any]:
    """The values of a section's keys where a config leaves them out."""
    made = {}
    for field in dataclasses.fields(kind):
        if field.default_factory is not dataclasses.MISSING:
            made[field.name] = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            made[field.name] = field.default
    return made


# By the type of a field: what a value may be, and that in words.
_TYPES = {
    bool: (bool, "True or False"),
    int: (numbers.Integral, "an integer"),
    float: (numbers.Real, "a number"),
    str: (str, "a name"),
    tuple: (tuple, "a tuple"),
    dict: (dict, "a section"),
}


def read(kind: type[Section], options: Mapping[str, Any], name: str = "") -> Section:
    """The section `kind` with these values, checked.

    Args:
        kind: one of this module's classes, or another dataclass.
        options: values by key.
        name: of the section within the config; "" for the config itself.

    Raises:
        UsageError: an unknown key, a missing one, or a value of another type or out of range.
    """
    prefix = f"config.{name}{'.' if name else ''}"
    fields, hints = {f.name: f for f in dataclasses.fields(kind)}, typing.get_type_hints(kind)
    for key in options:
        if key not in fields:
            raise UsageError(
                f"Unknown key {prefix}{key}.{closest(key, list(fields))} "
                f"Known: {', '.join(fields)}."
            )
    for key, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and key not in options:
            raise UsageError(f"The config lacks {prefix}{key}.")
        if key in options:
            check_value(prefix + key, options[key], hints[key], field.metadata.get("least"))
    return kind(**options)


def check_value(key: str, value: Any, hint: Any, least: int | None) -> None:
    """Raises UsageError unless `value` is of the type `hint`, and at least `least`."""
    if isinstance(hint, types.UnionType):  # of one type and None
        if value is None:
            return
        hint = next(member for member in typing.get_args(hint) if member is not type(None))
    if hint not in _TYPES:
        return
    kind, words = _TYPES[hint]
    if not isinstance(value, kind) or (hint is not bool and isinstance(value, bool)):
        raise UsageError(f"{key} must be {words}, not {value!r}.")
    if least is not None and value < least:
        raise UsageError(f"{key} must be at least {least}, got {value}.")


COMPONENTS = {
    "data.source": None,
    "data.codec": "images",
    "data.condition_from": None,
    "sde": None,
    "prediction": None,
    "network": None,
    "loss": "denoising",
    "loss.weighting": "noise",
    "loss.times": "uniform",
    "loss.augmentation": None,
    "optimizer": "adam",
    "sampler": "probability_flow",
    "dequantizer.network": "dequantizer",
    "dequantizer.optimizer": "adam",
}
"""Where a config names a component, and which one it is if the section has no name."""


def name_key(section: str) -> str:
    """The key of a component's section that holds its name."""
    return "objective" if section == "loss" else "name"


def named(section: str, options: Any) -> dict[str, Any]:
    """A component's section, {"name": ..., options}, which may be its name alone.

    A section without a name is of the component that there is if the section is left out.

    Raises:
        UsageError: there is no name, or no section.
    """
    key, default = name_key(section), COMPONENTS.get(section)
    if isinstance(options, str):
        return {key: options}
    if not isinstance(options, dict) or (key not in options and default is None):
        what = "must be a name, or a section" + (" with a name" if default is None else "")
        raise UsageError(f"config.{section} {what}.")
    return ({} if default is None else {key: default}) | options
