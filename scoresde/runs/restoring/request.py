"""What all requests to restore or edit images have in common, and what they become."""

import dataclasses
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import numpy as np

from scoresde.condition import Condition
from scoresde.data.in_order import check_positive
from scoresde.denoiser import BaseDenoiser
from scoresde.experiment import Experiment, model_sections
from scoresde.plain import check_fields
from scoresde.registry import UsageError, UsageWarning, first_line
from scoresde.runs.restoring.inputs import Inputs
from scoresde.runs.restoring.scale import PixelScale
from scoresde.runs.trained_model import TrainedModel
from scoresde.samplers import Samples


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """A request as it is to be computed: arrays have a row for each input.

    Attributes:
        inputs: the inputs.
        condition: what a sample is drawn of, a row an input.
        draw: (keys [batch], rows of the condition) -> samples.
        shown: of the sheet's columns before the samples, levels [n, height, width, channels].
        finish: (x [batch, ...], the numbers of their inputs) -> levels, uint8.
        record: what was asked for, as JSON can hold it.
    """

    inputs: Inputs
    condition: Mapping[str, np.ndarray]
    draw: Callable[[jax.Array, Condition], Samples]
    shown: Mapping[str, np.ndarray]
    finish: Callable[[np.ndarray, np.ndarray], np.ndarray]
    record: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RestorationRequest:
    """Which images are restored or edited, with what; the sampler is the config's.

    A sample depends on the model, the seed, its number, what its input holds and what is asked for:
    neither on the other inputs nor on where its own is, nor on the batch size.

    Attributes:
        input: a picture, or a folder of them and below it.
        samples: of each input.
        batch_size: samples at a time.
        seed: the same seed gives the same samples.
        step: the checkpoint; the latest if None.
        average: which average of the parameters; None for the last iterate.
        label: the class of all, its number or its name; None for no class.
        fit: cut the largest central square out of each picture and resize it.

    Raises:
        UsageError: a value of another type or out of range.
    """

    task: ClassVar[str]

    input: str | os.PathLike
    samples: int = 1
    batch_size: int = 64
    seed: int = 0
    step: int | None = None
    average: str | None = "ema"
    label: int | str | None = None
    fit: bool = False

    def __post_init__(self):
        check_fields(self)
        check_positive(samples=self.samples, batch_size=self.batch_size)
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"seed must be 0 .. 2^32 - 1, not {self.seed}.")

    def prepare(self, model: "Model") -> Work:
        """Reads the inputs, and all that is wrong with them is said before anything is computed."""
        raise TypeError(f"{type(self).__name__} must define prepare(model).")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """The model that a request is for.

    Attributes:
        experiment: its experiment.
        codec: of images with all their levels.
        scale: likewise, of picture files.
        denoiser: with the parameters that are asked for.
        sections: of the config, that say which model it is.
    """

    experiment: Experiment
    codec: Any
    scale: PixelScale
    denoiser: BaseDenoiser
    sections: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of its images."""
        return self.codec.image_shape

    def labels(self, label: int | str | None, num: int) -> dict[str, np.ndarray]:
        """The condition of `num` samples of one class; empty of a network that is told none.

        Raises:
            UsageError: there is no such class, no class is given and the network needs one, or it
                is told something else of its samples.
        """
        names = self.experiment.condition
        if others := [name for name in names if name != "label"]:
            raise UsageError(f"The network is told {others[0]!r} of a sample, not a class alone.")
        if not names:
            if label is not None:
                raise UsageError("A label needs a network trained with config.data.labels=True.")
            return {}
        if label is not None:
            return {"label": np.full(num, self.experiment.source.label_number(label))}
        none = self.denoiser.absent("label", np.zeros(num, int))
        if none is None or not self.sections["network"].get("label_dropout"):
            raise UsageError("The network is told the class of its samples: give a --label.")
        return {"label": np.asarray(none)}


def open_model(run: TrainedModel, request: RestorationRequest, step: int) -> Model:
    """The model of a run that a request is for.

    Raises:
        UsageError: its data are no images, or it has no such parameters.
    """
    experiment = run.experiment
    try:
        codec = experiment.codec
    except UsageError as error:  # an imported model needs no data
        codec = experiment.codec_without_data
        warnings.warn(
            f"The run's data are not here ({first_line(error)}) Its images are taken to have "
            f"{codec.bins} levels.",
            UsageWarning,
            stacklevel=2,
        )
    return Model(
        experiment=experiment,
        codec=codec,
        scale=PixelScale.of(codec),
        denoiser=run.denoiser(step, request.average, experiment.sampling.t_min),
        sections=model_sections(run.config),
    )
