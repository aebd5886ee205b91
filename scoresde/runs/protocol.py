"""What a log-likelihood on a data set is a measurement of; other protocols do not compare."""

import dataclasses
import inspect
import json
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

from scoresde import dequantization
from scoresde.codecs import Codec
from scoresde.evaluation import Estimator
from scoresde.experiment import Experiment
from scoresde.likelihood import LIKELIHOODS
from scoresde.plain import check_fields
from scoresde.registry import UsageError, UsageWarning, lookup, make
from scoresde.runs.flow import trained_flow
from scoresde.sdes import SDE


@dataclasses.dataclass(frozen=True, kw_only=True)
class LikelihoodProtocol:
    """How the log-likelihoods of a split are estimated.

    Attributes:
        split: of the data.
        num: the first images of the split only; all of them if None.
        bound: "exact", or a lower bound, of `scoresde.likelihood.LIKELIHOODS`.
        options: of that: `probes` of "exact", `samples` and `repeats` of a bound, ...; what is left
            out is as config.likelihood says.
        dequantizer: a name of `scoresde.dequantization.DEQUANTIZERS`; "uniform" if None, where the
            images are dequantized at all.
        dequantizer_std: of "truncated_normal"; the process's if None.
        passes: evaluations of each image, with noise of their own.
        seed: of dequantization noise and probes.
        step: the checkpoint; the latest if None.
        average: which average of the parameters; None for the last iterate.
        baseline: whether a Gaussian is fitted to the training images, and compared with.
        bayes: whether every image is evaluated under every class, and of no class where the network
            was trained without it too: p(class | image) by Bayes, at so many times the cost.

    Raises:
        UsageError: a value of another type.
    """

    split: str = "test"
    num: int | None = None
    bound: str = "exact"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dequantizer: str | None = None
    dequantizer_std: float | None = None
    passes: int = 1
    seed: int = 0
    step: int | None = None
    average: str | None = "ema"
    baseline: bool = False
    bayes: bool = False

    def __post_init__(self):
        check_fields(self)

    def estimator(
        self, experiment: Experiment, sde: SDE, workdir: pathlib.Path
    ) -> tuple[Estimator, dict[str, Any]]:
        """What estimates the log-likelihoods, and all that its numbers depend on, by name.

        Args:
            experiment: whose codec and likelihood are used.
            sde: the process, with what it has learned.
            workdir: of the run, which may hold a trained flow.

        Warns:
            UsageWarning: a bound of levels, and a network that was trained with noise in the bins.

        Raises:
            UsageError: an unknown bound or dequantizer, or options that contradict each other.
        """
        options = self._defaults(experiment, sde) | dict(self.options)
        try:
            json.dumps(options)
        except TypeError:
            raise UsageError(
                "The options of the bound are written to likelihood.json: give names or sections, "
                f"no objects, got {options}."
            ) from None
        likelihood, codec = make("bound", LIKELIHOODS, self.bound, **options), experiment.codec
        record = {"bound": self.bound}
        if likelihood.of_levels:
            if self.dequantizer is not None:
                raise UsageError(
                    f"The bound {self.bound!r} is of the levels themselves, without noise in their "
                    "bins: leave out --dequantizer."
                )
            if getattr(codec, "dequantize", False):
                warnings.warn(
                    f"The bound {self.bound!r} is of levels without noise in their bins, and this "
                    "network was trained with it (config.data.dequantize=True): its bits/dim will "
                    "be far above those of 'exact' and 'score_flow'.",
                    UsageWarning,
                    stacklevel=2,
                )
            scale = {"level_range": codec.level_range}
            record |= {"dequantization": "none", **scale}
        else:
            scale, described = self._dequantization(codec, sde, options.get("t_min"), workdir)
            record |= described
        estimator = Estimator(likelihood=likelihood, bins=codec.bins, **scale)
        return estimator, record | options

    def _defaults(self, experiment: Experiment, sde: SDE) -> dict[str, Any]:
        """What the config says of the options of this bound."""
        exact = dataclasses.asdict(experiment.likelihood)
        exact["t_min"] = sde.t_min if exact["t_min"] is None else exact["t_min"]
        kind = lookup("bound", LIKELIHOODS, self.bound)
        if kind is type(experiment.likelihood):
            return exact
        takes = inspect.signature(kind).parameters
        defaults = {"t_min": exact["t_min"]} if "t_min" in takes else {}
        if "steps" in takes:
            defaults["steps"] = sde.chain_steps or 1000
            if sde.chain_steps is not None:  # its levels, and none between them
                defaults["t_min"] = sde.t_min
        if "variance" in takes and experiment.prediction.learned_variance:
            defaults["variance"] = "learned"
        return defaults

    def _dequantization(
        self, codec: Codec, sde: SDE, t_min: float | None, workdir: pathlib.Path
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The dequantizer and what its bins fill, and what is recorded of them."""
        name, options, which = self.dequantizer or "uniform", {}, {}
        if name == "flow":
            network, params, which = trained_flow(workdir)
            options = {"network": network, "params": params}
        if self.dequantizer_std is not None:
            options["std"] = self.dequantizer_std
        chosen, bin_range = dequantization.choose(name, codec, sde=sde, t_min=t_min, **options)
        record = {"dequantization": name, "bin_range": bin_range, **which}
        if hasattr(chosen, "std"):
            record["dequantization_std"] = chosen.std
        return {"dequantizer": chosen, "bin_range": bin_range}, record
