"""An experiment: everything that a config says, as objects."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from scoresde import data, guidance, losses
from scoresde.channels import hint
from scoresde.codecs import Codec
from scoresde.condition import Condition
from scoresde.degradations import Degradation
from scoresde.denoiser import BaseDenoiser, Denoiser
from scoresde.experiment.sections import DequantizerTraining, Training
from scoresde.guidance import NoisyClassifier
from scoresde.keys import one_key
from scoresde.likelihood import ExactLikelihood
from scoresde.predictions import PredictionKind
from scoresde.registry import UsageError
from scoresde.samplers import Samples, sample
from scoresde.sdes import SDE, learned_fields, with_learned_fields
from scoresde.training import part_means


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How samples are drawn.

    Attributes:
        sampler: what `scoresde.samplers.get` returns.
        steps: number of steps of a named grid; None where the sampler needs none.
        grid: see `scoresde.samplers.sample`.
        t_min: where sampling ends; the process's own t_min if None.
        clip: (low, high), the range of the data within which E[x0] is kept at every step, as the
            code of the DDPM family does; None for none. See `scoresde.guidance.clipped`.
    """

    sampler: Any
    steps: int | None = None
    grid: Any = None
    t_min: float | None = None
    clip: tuple[float, float] | None = None

    def clipped(self, denoiser: BaseDenoiser) -> BaseDenoiser:
        """The denoiser that is sampled with: the one given, within `clip`."""
        return denoiser if self.clip is None else guidance.clipped(denoiser, *self.clip)

    def sample(
        self,
        key: jax.Array,
        denoiser: BaseDenoiser,
        shape: tuple[int, ...],
        *,
        condition: Condition = None,
        **options: Any,
    ) -> Samples:
        """`samplers.sample` with this sampler on its grid; further options are that function's."""
        options = {"steps": self.steps, "grid": self.grid, **options}
        denoiser = self.clipped(denoiser)
        return sample(key, self.sampler, denoiser, shape, condition=condition, **options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that a config says, as objects. Making it touches no data and no device memory.

    Attributes:
        sde: the forward process.
        prediction: how the network is fed and read.
        network: `scoresde.networks.Network`, or anything called like one that has its `init`.
        image_shape: of a record of the data: (height, width, channels) of images.
        condition: names of the data's arrays that the network is told of each sample.
        degradation: makes of each image what the network is told beside; None for nothing.
        flip: whether training images are mirrored at random.
        sampling: how samples are drawn.
        likelihood: the exact likelihood, with the config's options.
        likelihood_batch_size: images evaluated at a time.
        training: how long is trained, and how it is watched.
        optimizer: an optax transformation.
        learning_rate: the number of updates made -> the learning rate of the next one.
        averages: the averages of the parameters that training keeps, by name.
        elementwise: whether optimizer and averages treat each number by itself.
        recomputes: whether the network saves memory by computing blocks anew in the backward pass.
        dequantizer: how the flow of variational dequantization is trained.
        dequantizer_network: that flow.
        dequantizer_optimizer: an optax transformation.
        seed: of everything random.
        make_source: loads the data set.
        make_codec: the data set, or None before it is loaded -> the way of an image to x and back.
        make_objective: codec -> the objective, called as (params, key, images, condition, train=).
    """

    sde: SDE
    prediction: PredictionKind
    network: Any
    image_shape: tuple[int, ...]
    condition: tuple[str, ...]
    degradation: Degradation | None
    flip: bool
    sampling: Sampling
    likelihood: ExactLikelihood
    likelihood_batch_size: int
    training: Training
    optimizer: optax.GradientTransformation
    learning_rate: optax.Schedule
    averages: Mapping[str, Any]
    elementwise: bool
    recomputes: bool
    dequantizer: DequantizerTraining
    dequantizer_network: Any
    dequantizer_optimizer: optax.GradientTransformation
    seed: int
    make_source: Callable[[], data.Source]
    make_codec: Callable[[data.Source | None], Codec]
    make_objective: Callable[[Codec], Callable]

    def __repr__(self) -> str:
        network = getattr(self.network, "name", type(self.network).__name__)
        return f"Experiment({self.sde}, {network}, {self.shape}, {self.sampling.sampler})"

    @functools.cached_property
    def source(self) -> data.Source:
        """The data set, loaded at the first use.

        Raises:
            UsageError: it is not there, its images are not of config.data.image_shape, or its
                classes are to be fed to the network, which knows fewer, or has none.
        """
        source = self.make_source()
        if tuple(source.image_shape) != self.image_shape:
            remedy = hint(source.image_shape, self.image_shape) or " Set it to theirs."
            raise UsageError(
                f"The images of {source.name!r} are {tuple(source.image_shape)}, but "
                f"config.data.image_shape is {self.image_shape}.{remedy}"
            )
        self._check_classes(source)
        return source

    def _check_classes(self, source: data.Source) -> None:
        if "label" not in self.condition:
            return
        classes, known = len(source.label_names), getattr(self.network, "num_classes", None)
        if not classes:
            raise UsageError(
                f"config.data.labels=True feeds the classes of the data to the network, and "
                f"{source.name!r} has none: leave it out."
            )
        if known and known < classes:  # the others would count as "no class"
            raise UsageError(
                f"The data {source.name!r} have {classes} classes and the network knows {known}: "
                f"set config.network.num_classes (label_dim of EDM's networks) to {classes}."
            )

    @functools.cached_property
    def codec(self) -> Codec:
        """The way of the data's images to x and back."""
        return self.make_codec(self.source)

    @functools.cached_property
    def codec_without_data(self) -> Codec:
        """The same for what does not depend on the number of bins, such as the shape of x."""
        return self.make_codec(None)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of x, without the batch: what the process and the network work on."""
        return self.codec_without_data.shape

    def init(self, key: jax.Array) -> Any:
        """Initial parameters: the network's, and beside them the process's where it is learned.

        Raises:
            UsageError: `key` is no random key.
        """
        key = one_key(key)
        params = self.network.init(key, self.shape)
        fields = learned_fields(self.sde)
        return {"network": params, "sde": fields} if fields else params

    def project(self, params: Any) -> Any:
        """The parameters as a step of training starts from them: see `networks.Network.project`."""
        project = getattr(self.network, "project", None)
        if project is None:
            return params
        if learned_fields(self.sde):
            return {**params, "network": project(params["network"])}
        return project(params)

    @property
    def abstract_params(self) -> Any:
        """The shapes and types of the parameters; nothing is computed."""
        return jax.eval_shape(lambda: self.init(jax.random.key(0)))

    @functools.cached_property
    def trains_classifier(self) -> bool:
        """Whether the network is a classifier of noisy images, not one of a denoiser."""
        objective = self.make_objective(self.codec_without_data)
        return getattr(objective, "trains_classifier", False)

    def classifier(self, params: Any, t_min: float | None = None) -> NoisyClassifier:
        """The classifier with these parameters, on the process from `t_min` (its own if None).

        Raises:
            UsageError: the experiment trains none.
        """
        if not self.trains_classifier:
            raise UsageError(
                "This is no classifier: config.loss.objective='classification' trains one."
            )
        sde = self.sde if t_min is None else dataclasses.replace(self.sde, t_min=t_min)
        return NoisyClassifier(
            sde,
            self.network,
            params,
            time_input=self.prediction.time_input,
            num_classes=getattr(self.network, "num_classes", None),
        )

    def denoiser(self, params: Any, t_min: float | None = None) -> Denoiser:
        """The denoiser with these parameters, on the process from `t_min` (its own if None).

        Raises:
            UsageError: the experiment trains a classifier.
        """
        if self.trains_classifier:
            raise UsageError(
                "This run is of a classifier, which guides another's samples: sample --workdir "
                "OTHER --guidance classifier --classifier DIR --scale 1."
            )
        sde = self.sde if t_min is None else dataclasses.replace(self.sde, t_min=t_min)
        if learned_fields(sde):
            sde, params = with_learned_fields(sde, params["sde"]), params["network"]
        return Denoiser(sde, self.prediction, self.network, params)

    def condition_of(self, rows: Mapping[str, Any], keys: jax.Array | None = None) -> Condition:
        """What the network is told of the samples of a batch of the data; None where nothing.

        Args:
            rows: of the data.
            keys: one for each sample, where there is a degradation.

        Raises:
            UsageError: the data lack an array that config.data.condition names.
        """
        told = self._of_data(rows)
        if self.degradation is not None:
            made = self.degraded(keys, rows["image"])
            known = getattr(self.network, "condition_names", made.keys())
            told |= {name: made[name] for name in made if name in known}
        return told or None

    def _of_data(self, rows):
        """The arrays of the data that the network is told."""
        for name in self.condition:
            if name not in rows:
                known = sorted(set(rows) - {"image"})
                raise UsageError(
                    f"config.data.condition names {name!r}, which the data have not; they have "
                    f"{', '.join(known)}."
                )
        return {name: rows[name] for name in self.condition}

    def degraded(
        self, key: jax.Array, images: jax.Array, level: float | None = None
    ) -> dict[str, jax.Array]:
        """What the degradation tells of images of the data, which have no noise in their bins.

        Args: as of `scoresde.degradations.Degradation`.
        """
        codec = self.codec
        x0 = data.scale(data.to_unit(images, codec.bins), codec.level_range)
        return self.degradation(key, x0, level)

    def init_memory(self) -> Any:
        """What the objective remembers from step to step, before the first; None if nothing."""
        objective = self.make_objective(self.codec_without_data)
        return objective.init_memory() if hasattr(objective, "init_memory") else None

    def loss_fn(self, train: bool = True) -> Callable:
        """(params, key, batch of the data) -> (loss, metrics), for `scoresde.training`.

        Given a memory, by the name `memory`, it returns the one after the step as well. Of an
        objective that says what its loss is made of, the metric "loss_by_noise" is its mean at each
        level of `scoresde.losses.noise_levels`.
        """
        objective = self.make_objective(self.codec)
        observed = losses.observes(objective)

        def loss_fn(params, key, batch, memory=None):
            condition = self._of_data(batch)
            if self.degradation is not None:
                key, degradation_key = jax.random.split(key)
                condition |= self.degraded(degradation_key, batch["image"])
            inputs = params, key, batch["image"], condition or None
            if observed:
                loss, after, each, t = objective.observed(*inputs, train=train, memory=memory)
                levels = part_means(each, losses.level_of(objective.sde, t), losses.LEVELS)
                metrics = {"loss_by_noise": levels}
                return (loss, metrics) if memory is None else (loss, metrics, after)
            if memory is None:
                return objective(*inputs, train=train), {}
            loss, memory = objective.remembering(memory, *inputs, train=train)
            return loss, {}, memory

        return loss_fn
