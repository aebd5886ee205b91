"""From a config to objects: what `scoresde.settings` has read becomes an experiment.

A section that makes a component has its `name`, a public name of the component's family or
`package.module:Name`, and its options; an option that the component does not take is an error.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from scoresde import codecs, data, dequantization, losses, networks, predictions, samplers
from scoresde.denoiser import Denoiser
from scoresde.likelihood.exact import check_options
from scoresde.registry import UsageError, lookup, make
from scoresde.sdes import SDE, SDES, learned_fields, with_learned_fields
from scoresde.settings import named, read
from scoresde.times import DISTRIBUTIONS
from scoresde.training.ema import ema_rate

# What an experiment keeps as plain values, for those who run it.
_SETTINGS = ("data", "loss", "optimizer", "training", "likelihood", "dequantizer")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that a config says, as objects. Making it touches no data and no device memory.

    Attributes:
        sde: the forward process.
        prediction: how the network is fed and read.
        network: `scoresde.networks.Network`, or anything called like one that has its `init`.
        sampler: for `scoresde.samplers.sample`, called as `sample(..., **sampling)`.
        sampling: `steps` and `grid` of the sampler.
        sampling_t_min: the smallest time of sampling.
        image_shape: (height, width, channels).
        data_range: the range the network works in.
        settings: the plain values of the other sections.
        seed: of everything random.
    """

    sde: SDE
    prediction: predictions.PredictionKind
    network: Any
    sampler: Any
    sampling: dict[str, Any]
    sampling_t_min: float
    image_shape: tuple[int, int, int]
    data_range: tuple[float, float]
    settings: dict[str, dict[str, Any]]
    seed: int

    @functools.cached_property
    def source(self) -> data.Source:
        """The data set, loaded at the first use.

        Raises:
            UsageError: it is not there, or its images are not of config.data.image_shape.
        """
        source = data.get(**named("data.source", self.settings["data"]["source"]))
        if tuple(source.image_shape) != self.image_shape:
            raise UsageError(
                f"The images of {source.name!r} are {tuple(source.image_shape)}, but "
                f"config.data.image_shape is {self.image_shape}: set it to theirs."
            )
        return source

    @property
    def condition(self) -> tuple[str, ...]:
        """The names of what the network is told of each sample: arrays of the data."""
        settings = self.settings["data"]
        return ("label",) * settings["labels"] + settings["condition"]

    def init(self, key: jax.Array) -> Any:
        """Initial parameters: the network's, and beside them the process's where it is learned."""
        params = self.network.init(key, self.image_shape)
        fields = learned_fields(self.sde)
        return {"network": params, "sde": fields} if fields else params

    @property
    def abstract_params(self) -> Any:
        """The shapes and types of the parameters; nothing is computed."""
        return jax.eval_shape(lambda: self.init(jax.random.key(0)))

    def denoiser(self, params: Any, t_min: float | None = None) -> Denoiser:
        """The denoiser with these parameters, on the process from `t_min` (its own if None)."""
        sde = self.sde if t_min is None else dataclasses.replace(self.sde, t_min=t_min)
        if learned_fields(sde):
            sde, params = with_learned_fields(sde, params["sde"]), params["network"]
        return Denoiser(sde, self.prediction, self.network, params)

    @functools.cached_property
    def codec(self) -> codecs.Codec:
        """The images' way to x and back; loads the data set, whose bins it needs."""
        return codecs.get(
            "images",
            image_shape=self.image_shape,
            bins=self.source.bins,
            data_range=self.data_range,
            dequantize=self.settings["data"]["dequantize"],
        )

    def dequantizer_network(self) -> networks.DequantizerNetwork:
        """The flow of config.dequantizer.network."""
        options = {"name": "dequantizer", **self.settings["dequantizer"]["network"]}
        return make("network", {"dequantizer": networks.dequantizer_network}, **options)

    def dequantizer(
        self, name: str, *, std: float | None = None, params: Any = None, sde: SDE | None = None
    ) -> tuple[Callable, tuple[float, float]]:
        """`dequantization.choose` for this data; `sde` is the process with its learned fields."""
        options = {} if std is None else {"std": std}
        if params is not None:
            options |= {"network": self.dequantizer_network(), "params": params}
        t_min = self.settings["likelihood"]["t_min"]
        return dequantization.choose(name, self.codec, sde=sde or self.sde, t_min=t_min, **options)

    def loss_fn(self, train: bool = True) -> Callable:
        """(params, key, batch of uint8 images and labels) -> (loss, {}), for `training`."""
        options = dict(self.settings["loss"])
        build = {"denoising": self._denoising_loss, "variational": self._variational_loss}
        loss = build[options.pop("objective")](**options)

        def loss_fn(params, key, batch):
            condition = {name: batch[name] for name in self.condition}
            return loss(params, key, batch["image"], condition or None, train=train), {}

        return loss_fn

    def _denoising_loss(self, *, times: Any, weighting: Any, **options: Any) -> Callable:
        distribution, weighting = named("loss.times", times), named("loss.weighting", weighting)
        weight = lookup("weighting", losses.WEIGHTINGS, weighting.pop("name"))
        times = make("time distribution", DISTRIBUTIONS, sde=self.sde, **distribution)
        jax.eval_shape(lambda: times(jax.random.key(0), 1))  # refuses impossible ranges
        loss = losses.DenoisingScoreMatching(
            sde=self.sde,
            prediction=self.prediction,
            network=self.network,
            times=times,
            weighting=functools.partial(weight, **weighting) if weighting else weight,
            **options,
        )

        def of_images(params, key, images, condition, train):
            data_key, loss_key = jax.random.split(key)
            x = self.codec.encode(data_key, images)
            return loss(params, loss_key, x, condition, train=train)

        return of_images

    def _variational_loss(self) -> Callable:
        def of_images(params, key, images, condition, train):
            loss = losses.VariationalLoss(
                sde=self.sde,
                prediction=self.prediction,
                network=self.network,
                bins=self.codec.bins,
                data_range=self.codec.level_range,
            )
            return loss(params, key, images, condition, train=train)

        return of_images

    def optimizer(self):
        """The optax transformation of config.optimizer."""
        return _optimizer(self.settings["optimizer"], self.settings["training"]["num_steps"])

    def dequantizer_optimizer(self):
        """The optax transformation of config.dequantizer.optimizer."""
        settings = self.settings["dequantizer"]
        return _optimizer(settings["optimizer"], settings["num_steps"])


def _optimizer(options, num_steps):
    from scoresde.training import make_optimizer

    options = dict(options)
    if options.get("schedule", "constant") != "constant":
        options.setdefault("num_steps", num_steps)
    return make_optimizer(**options)


def _plain(value: Any) -> Any:
    """ConfigDicts as dictionaries and lists as tuples, which are hashable and come from JSON."""
    if isinstance(value, ml_collections.ConfigDict | Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(entry) for entry in value)
    return value


def experiment(config: ml_collections.ConfigDict | Mapping[str, Any]) -> Experiment:
    """The objects that `config` describes, checked.

    Raises:
        UsageError: an unknown name, key or option, a missing one, or values that contradict each
            other.
    """
    sections = read(_plain(config))
    settings = {name: sections[name] for name in _SETTINGS}
    sde = make("SDE", SDES, **named("sde", sections["sde"]))

    prediction = named("prediction", sections["prediction"])
    time_input = prediction.pop("time_input", None)
    if time_input is not None:
        time_input = make("time input", predictions.TIME_INPUTS, **named("time_input", time_input))
    prediction = predictions.get(**prediction, time_input=time_input)

    data_range = tuple(float(end) for end in sections["data"]["data_range"])
    data.scale(0.0, data_range)  # refuses an empty range
    network_options = named("network", sections["network"])
    centered = network_options.get("centered")
    if centered is not None and centered != (data_range == (-1.0, 1.0)):
        raise UsageError(
            f"config.network.centered={centered} says that the data lie in "
            f"{'[-1, 1]' if centered else '[0, 1]'}, but config.data.data_range is {data_range}."
        )
    network = networks.get(**network_options)

    sampler_options = named("sampler", sections["sampler"])
    sampling = {key: sampler_options.pop(key, None) for key in ("steps", "grid")}
    sampling_t_min = sampler_options.pop("t_min", None)
    sampler = samplers.get(**sampler_options)

    built = Experiment(
        sde=sde,
        prediction=prediction,
        network=network,
        sampler=sampler,
        sampling=sampling,
        sampling_t_min=sde.t_min if sampling_t_min is None else float(sampling_t_min),
        image_shape=sections["data"]["image_shape"],
        data_range=data_range,
        settings=settings,
        seed=sections["seed"],
    )
    _check(built)
    return built


# The least value of what counts something, in whichever section it is.
_LEAST = {
    **dict.fromkeys(("batch_size", "num_steps", "steps_per_dispatch", "accumulate"), 1),
    **dict.fromkeys(("log_every", "checkpoint_every", "keep", "keep_every"), 1),
    **dict.fromkeys(("eval_every", "sample_every"), 0),
}


def _check(built: Experiment):
    """Everything that can be known to fail later fails now."""
    for section in ("training", "dequantizer", "likelihood"):
        for key, value in built.settings[section].items():
            if key in _LEAST and value is not None and value < _LEAST[key]:
                raise UsageError(
                    f"config.{section}.{key} must be at least {_LEAST[key]}, got {value}."
                )
    if not 0 <= built.seed < 2**32:
        raise UsageError(f"config.seed must be 0 .. 2^32 - 1, got {built.seed}.")
    training = built.settings["training"]
    ema_rate(1, training["ema_rate"], training["ema_warmup"])
    options = dict(built.settings["likelihood"])
    del options["t_min"], options["batch_size"]
    check_options(**options)
    lookup("data source", data.SOURCES, named("source", built.settings["data"]["source"])["name"])
    built.loss_fn()
    learned = bool(learned_fields(built.sde))
    if learned != (built.settings["loss"]["objective"] == "variational"):
        raise UsageError(
            "A process whose schedule is learned, and only such a one, is trained by "
            f"config.loss.objective = 'variational'; here they are {type(built.sde).__name__} and "
            f"{built.settings['loss']['objective']!r}."
        )
    built.optimizer()
    built.dequantizer_network()
    built.dequantizer_optimizer()
    with jax.ensure_compile_time_eval():
        coefficients = built.prediction.coefficients(built.sde, jnp.asarray(built.sde.t_max))
        readable = all(bool(jnp.isfinite(c)) for c in coefficients)
    if not readable:
        raise UsageError(
            "At t_max nothing of the data is left (alpha = 0), and this prediction says nothing "
            "about the data there; use the prediction velocity, v, x0 or edm."
        )
    sde = dataclasses.replace(built.sde, t_min=built.sampling_t_min)
    built.sampler.times(sde, **built.sampling)
    if (t_min := built.settings["likelihood"]["t_min"]) is not None:
        dataclasses.replace(built.sde, t_min=t_min)  # refuses one that is not below t_max
