"""From a config to objects.

A section that makes a component has its `name`, a public name of the component's family or
`package.module:Name`, and its options; an option that the component does not take is an error.
"""

import dataclasses
import functools
import inspect
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from scoresde import codecs, data, degradations, losses, networks, predictions, samplers
from scoresde.augmentations import AUGMENTATIONS
from scoresde.experiment.averages import build_averages
from scoresde.experiment.checks import check_augmentation, check_classifier
from scoresde.experiment.experiment import Experiment, Sampling
from scoresde.experiment.sections import (
    SAMPLER_STEPS,
    Config,
    Data,
    DequantizerTraining,
    Training,
    check_value,
    defaults,
    named,
    read,
)
from scoresde.likelihood import ExactLikelihood
from scoresde.registry import UsageError, lookup, make, shown
from scoresde.sdes import SDES, learned_fields
from scoresde.times import DISTRIBUTIONS
from scoresde.training import AVERAGES, ELEMENTWISE, make_optimizer, schedule_of
from scoresde.training.optimizer import TO_THE_END

LIKELIHOOD_BATCH_SIZE = 32
"""config.likelihood.batch_size, where it is left out."""


def build(config: ml_collections.ConfigDict | Mapping[str, Any]) -> Experiment:
    """The objects that `config` describes, checked: what can be known to fail later fails now.

    Args:
        config: the sections of `scoresde.experiment.sections`, as `load_config` reads them of a
            file.

    Raises:
        UsageError: no config, an unknown name, key or option, a missing one, or values that
            contradict each other.
    """
    if isinstance(config, str | os.PathLike):
        raise UsageError(
            f"build takes a config, and {os.fspath(config)!r} is the name of one: "
            f"build(load_config({os.fspath(config)!r}))."
        )
    if not isinstance(config, ml_collections.ConfigDict | Mapping):
        raise UsageError(f"build takes a config, of sections by name, and not {shown(config)}.")
    sections = read(Config, plain(config))
    section = read(Data, sections.data, "data")
    training = read(Training, sections.training, "training")
    dequantizer = _dequantizer(sections.dequantizer)
    likelihood, likelihood_batch_size = _likelihood(sections.likelihood)
    sde = make("SDE", SDES, **named("sde", sections.sde))
    prediction = _prediction(sections.prediction)
    network = _network(sections.network, _codec(section))
    averages = build_averages(training)
    experiment = Experiment(
        sde=sde,
        prediction=prediction,
        network=network,
        image_shape=section.image_shape,
        condition=("label",) * section.labels + section.condition,
        degradation=_degradation(section),
        flip=section.flip,
        sampling=_sampling(sections.sampler, sde),
        likelihood=likelihood,
        likelihood_batch_size=likelihood_batch_size,
        training=training,
        optimizer=_optimizer("optimizer", sections.optimizer, training.num_steps),
        learning_rate=schedule_of(named("optimizer", sections.optimizer), training.num_steps),
        averages=averages,
        elementwise=named("optimizer", sections.optimizer)["name"] in ELEMENTWISE
        and all(type(average) in AVERAGES.values() for average in averages.values()),
        recomputes=bool(named("network", sections.network).get("remat")),
        dequantizer=dequantizer,
        dequantizer_network=make("network", networks.DEQUANTIZERS, **dequantizer.network),
        dequantizer_optimizer=_optimizer(
            "dequantizer.optimizer", dequantizer.optimizer, dequantizer.num_steps
        ),
        seed=sections.seed,
        make_source=_source(section.source),
        make_codec=functools.partial(_codec, section),
        make_objective=_objective(sections.loss, sde, prediction, network),
    )
    _check(experiment)
    return experiment


def plain(value: Any) -> Any:
    """ConfigDicts as dictionaries and lists as tuples, which are hashable and come from JSON."""
    if isinstance(value, ml_collections.ConfigDict | Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return tuple(plain(entry) for entry in value)
    return value


def _source(options):
    options = named("data.source", options)
    lookup("data source", data.SOURCES, options["name"])  # an unknown one is known now
    return functools.partial(data.get, **options)


def _codec(section, source=None):
    """The codec of the data, with 256 bins for images before they are loaded."""
    options = named("data.codec", section.codec)
    if source is not None:
        bins = source.bins
    else:
        of_images = getattr(lookup("codec", codecs.CODECS, options["name"]), "of_images", True)
        bins = 256 if of_images else None
    takes = inspect.signature(lookup("codec", codecs.CODECS, options["name"])).parameters
    for key in ("data_range", "dequantize"):
        value, default = getattr(section, key), defaults(Data)[key]
        if key not in takes:
            if value != default:
                raise UsageError(
                    f"The codec {options['name']!r} has no {key}: leave out config.data.{key}."
                )
        elif key not in options:
            options[key] = value
        elif value != default and value != options[key]:
            raise UsageError(
                f"config.data.{key} is {value}, and config.data.codec.{key} {options[key]}: give "
                "one of them."
            )
    return codecs.get(**options, image_shape=section.image_shape, bins=bins)


def _degradation(section):
    if section.condition_from is None:
        return None
    options, codec = named("data.condition_from", section.condition_from), _codec(section)
    if codec.level_range is None or codec.shape != codec.image_shape:
        raise UsageError(
            "config.data.condition_from is of images on whose pixels the network works."
        )
    degradation = degradations.get(**options, data_range=codec.level_range)
    like = jax.ShapeDtypeStruct((1, *codec.shape), jnp.float32)
    jax.eval_shape(degradation, jax.random.key(0), like)  # refuses what has not this shape
    return degradation


def _prediction(options):
    options = named("prediction", options)
    if options.get("time_input") is not None:
        time_input = named("prediction.time_input", options.pop("time_input"))
        options["time_input"] = make("time input", predictions.TIME_INPUTS, **time_input)
    return predictions.get(**options)


def _network(options, codec):
    options, data_range = named("network", options), codec.data_range
    centered = options.get("centered")
    if centered is not None and centered != (data_range == (-1.0, 1.0)):
        raise UsageError(
            f"config.network.centered={centered} says that the data lie in "
            f"{'[-1, 1]' if centered else '[0, 1]'}, but config.data.data_range is {data_range}."
        )
    return networks.get(**options)


def _dequantizer(options):
    section = read(DequantizerTraining, options, "dequantizer")
    parts = {key: getattr(section, key) for key in ("network", "optimizer")}
    parts = {key: named(f"dequantizer.{key}", part) for key, part in parts.items()}
    return dataclasses.replace(section, **parts)


def _objective(options, sde, prediction, network):
    """codec -> the objective; each of its parts that has a family may be named."""
    options = named("loss", options)
    name = options.pop("objective")
    if "times" in options:
        times = named("loss.times", options["times"])
        options["times"] = make("time distribution", DISTRIBUTIONS, sde=sde, **times)
        jax.eval_shape(lambda: options["times"](jax.random.key(0), 1))  # refuses impossible ranges
    if "weighting" in options:
        weighting = named("loss.weighting", options["weighting"])
        options["weighting"] = make("weighting", losses.WEIGHTINGS, **weighting)
    if options.get("augmentation") is not None:
        augmentation = named("loss.augmentation", options["augmentation"])
        options["augmentation"] = make("augmentation", AUGMENTATIONS, **augmentation)
    options |= {"sde": sde, "prediction": prediction, "network": network}
    return lambda codec: make("objective", losses.OBJECTIVES, name, codec=codec, **options)


def _sampling(options, sde):
    options = named("sampler", options)
    beside = ("steps", "grid", "t_min", "clip")
    steps, grid, t_min, clip = (options.pop(key, None) for key in beside)
    sampler = samplers.get(**options)
    if steps is None:
        try:
            sampler.times(sde, None, grid)
        except UsageError:  # it takes as many as it is given
            steps = sde.chain_steps or SAMPLER_STEPS
    return Sampling(sampler=sampler, steps=steps, grid=grid, t_min=t_min, clip=_range(clip))


def _range(clip):
    """config.sampler.clip, checked."""
    if clip is None:
        return None
    numbers = isinstance(clip, Sequence) and all(type(end) in (int, float) for end in clip)
    if not numbers or len(clip) != 2 or not -math.inf < clip[0] < clip[1] < math.inf:
        raise UsageError(
            "config.sampler.clip is the range of the data in x, as (-1.0, 1.0), and not "
            f"{shown(clip)}."
        )
    return tuple(map(float, clip))


def _likelihood(options):
    """The exact likelihood, and how many images are evaluated at a time."""
    options = {"batch_size": LIKELIHOOD_BATCH_SIZE, **options}
    batch_size = options.pop("batch_size")
    check_value("config.likelihood.batch_size", batch_size, int, least=1)
    return read(ExactLikelihood, options, "likelihood"), batch_size


def warmup_of(options: Mapping[str, Any]) -> int:
    """The steps over which an optimizer's learning rate rises."""
    return options.get("warmup", inspect.signature(make_optimizer).parameters["warmup"].default)


def _optimizer(section, options, num_steps):
    options = named(section, options)
    schedule = options.get("schedule", "constant")
    if isinstance(schedule, Mapping):
        schedule = schedule.get("name")
    if schedule in TO_THE_END:  # optax's have their own numbers of steps
        options.setdefault("num_steps", num_steps)
        if (warmup := warmup_of(options)) >= options["num_steps"]:
            raise UsageError(
                f"The learning rate's warm-up, config.{section}.warmup={warmup}, leaves nothing "
                f"of a run of {options['num_steps']} steps: make it shorter."
            )
    return make_optimizer(**options)


def _drops_labels(network):
    """Whether the network also learns what samples of no class are like."""
    return getattr(getattr(network, "module", None), "label_dropout", 0.0) > 0


def _check(experiment: Experiment) -> None:
    """What the parts cannot know of each other."""
    for name in experiment.condition:
        known = getattr(experiment.network, "condition_names", {name})
        if name not in {*known, "label"}:  # of labels the network itself says more
            raise UsageError(
                f"config.data.condition feeds {name!r} to a network that does not take it; it "
                f"takes {', '.join(sorted(known))}."
            )
    told = experiment.degradation and experiment.degradation.told_as
    known = getattr(experiment.network, "condition_names", None)
    if told and known is not None and told not in known:
        raise UsageError(
            f"config.data.condition_from tells {told!r} to a network that does not take it: set "
            "config.network.condition_images, the channels of each image by its name."
        )
    made = {*experiment.condition, *(experiment.degradation.names if told else ())}
    if unseen := [
        name for name, _ in getattr(experiment.network, "images", ()) if name not in made
    ]:
        raise UsageError(
            f"The network sees an image {unseen[0]!r} beside x, which nothing gives it: set "
            "config.data.condition_from, or leave it out of config.network.condition_images."
        )
    classes = getattr(experiment.network, "num_classes", None)
    if classes and "label" not in experiment.condition and not _drops_labels(experiment.network):
        raise UsageError(
            f"config.network has {classes} classes and is never told one: set config.data.labels="
            "True, or leave out num_classes (label_dim of EDM's networks). One that is trained "
            "with label_dropout may be used without its classes."
        )
    check_classifier(experiment)
    objective = experiment.make_objective(experiment.codec_without_data)
    check_augmentation(experiment, getattr(objective, "augmentation", None))
    if getattr(objective, "unknown_only", False) and "mask" not in made:
        raise UsageError(
            "config.loss.unknown_only is of a condition with masks: set config.data.condition_from "
            "to inpainting."
        )
    learned = bool(learned_fields(experiment.sde))
    if learned != getattr(objective, "trains_schedule", False):
        raise UsageError(
            "A process whose schedule is learned, and only such a one, is trained by an objective "
            "that trains schedules, as config.loss.objective = 'variational' does; here they are "
            f"{type(experiment.sde).__name__} and {type(objective).__name__}."
        )
    sde, prediction = experiment.sde, experiment.prediction
    with jax.ensure_compile_time_eval():
        coefficients = prediction.coefficients(sde, jnp.asarray(sde.t_max))
        readable = all(bool(jnp.isfinite(c)) for c in coefficients)
    if not readable:
        raise UsageError(
            "At t_max nothing of the data is left (alpha = 0), and this prediction says nothing "
            "about the data there; use the prediction velocity, v, x0 or edm."
        )
    sampling = experiment.sampling
    for part in (sampling.sampler, getattr(sampling.sampler, "predictor", None)):
        if not getattr(getattr(part, "variance", None), "fixed", True) and (
            not prediction.learned_variance
        ):
            raise UsageError(
                "config.sampler takes the variance 'learned', and the network predicts none: take "
                "'posterior' or 'forward', or set config.prediction.learned_variance=True."
            )
    t_min = sde.t_min if sampling.t_min is None else float(sampling.t_min)
    sampling.sampler.times(dataclasses.replace(sde, t_min=t_min), sampling.steps, sampling.grid)
    if (t_min := experiment.likelihood.t_min) is not None:
        dataclasses.replace(sde, t_min=t_min)  # refuses one that is not below t_max
