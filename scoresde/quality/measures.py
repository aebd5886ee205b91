"""What is said of generated images beside a reference: each measure with its error, by name.

A measure is called with two `FeatureSet`s, the generated one first, and returns its numbers by
name. Those over another network than the Inception of the FID are never called FID.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from scoresde import metrics
from scoresde.quality.feature_set import FeatureSet
from scoresde.registry import UsageError, make


class Number(NamedTuple):
    """A measured number.

    Attributes:
        value: the number.
        error: its standard error or spread; None if it has none.
        error_is: what the error is, in words.
    """

    value: float
    error: float | None = None
    error_is: str = ""


Numbers = Mapping[str, Number]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrechetDistance:
    """The Frechet distance of Gaussians fitted to both (Heusel et al. 2017, arXiv:1706.08500).

    Attributes:
        bootstrap: resamples of the generated features, whose spread is the error; 0 for none.
        seed: of the resampling.
    """

    bootstrap: int = 20
    seed: int = 0

    def __call__(self, generated: FeatureSet, reference: FeatureSet) -> Numbers:
        """The distance, "fd"."""
        value = metrics.frechet(*generated.moments, *reference.moments)
        error = None
        if self.bootstrap and generated.features is not None:
            error = metrics.frechet_bootstrap(
                generated.features, reference.moments, self.bootstrap, self.seed
            )
        return {"fd": Number(value, error, f"bootstrap, {self.bootstrap} resamples")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrechetInfinity:
    """The Frechet distance extrapolated to any number of samples (arXiv:1911.07023).

    Attributes:
        seed: of the subsets, of 15 sizes.
    """

    least: ClassVar[int] = 3  # of two sizes, the smaller one is 2

    seed: int = 0

    def __call__(self, generated: FeatureSet, reference: FeatureSet) -> Numbers:
        """The value of the line at 1/n = 0, "fd_infinity"."""
        features = generated.need_features("The extrapolated distance")
        result = metrics.fd_infinity(features, reference.moments, seed_or_indices=self.seed)
        bias = f"the line is {result.slope / len(features):.3g} higher at {len(features)} samples"
        return {"fd_infinity": Number(result.value, None, bias)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelDistance:
    """The unbiased squared MMD with a cubic kernel (KID: Binkowski et al. 2018, arXiv:1801.01401).

    Attributes:
        subsets: of both sets, over which it is averaged.
        size: of a subset, at most half of the smaller set: equal ones would have no spread.
        seed: of the subsets; 2020 draws torch-fidelity's.
    """

    of_features: ClassVar[str] = "The kernel distance"

    subsets: int = 100
    size: int = 1000
    seed: int = 2020

    def __call__(self, generated: FeatureSet, reference: FeatureSet) -> Numbers:
        """The mean over the subsets, "kid", and its standard error.

        Subsets that overlap are no more measurements than there are images for: the error is that
        of as many disjoint ones.
        """
        gen, ref = (s.need_features(self.of_features) for s in (generated, reference))
        smaller = min(len(gen), len(ref))
        size = max(2, min(self.size, smaller // 2))
        found = metrics.kid(gen, ref, self.subsets, size, self.seed)
        apart = min(self.subsets, smaller // size)
        error = found.standard_error * math.sqrt(self.subsets / apart)
        words = f"standard error of {apart} disjoint subsets of {size}; mean over {self.subsets}"
        return {"kid": Number(found.mean, error, words)}


_NO_CLASSES = (
    "The inception score is of class probabilities, and these features have none: take an "
    "extractor with classes, or leave `is` out."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierScore:
    """exp of the mean KL of the classes of an image from those of all (arXiv:1606.03498).

    Attributes:
        splits: parts of the images, over which it is averaged.
        seed: of their order; 2020 is torch-fidelity's.
    """

    of_logits: ClassVar[bool] = True

    splits: int = 10
    seed: int = 2020

    @property
    def least(self) -> int:
        """The fewest images that it can be of."""
        return self.splits

    def __call__(self, generated: FeatureSet, reference: FeatureSet) -> Numbers:
        """The mean over the splits, "is", and their standard deviation."""
        if generated.logits is None:
            raise UsageError(_NO_CLASSES)
        mean, std = metrics.inception_score(generated.logits, self.splits, self.seed)
        return {"is": Number(mean, std, f"standard deviation over {self.splits} splits")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """The share of each set within the other's neighborhoods (arXiv:1904.06991, eqs. 1-3).

    Attributes:
        k: the neighbor whose distance is the radius.
        rule: whether a point on a ball's surface is in it, see `scoresde.metrics.prdc`.
    """

    of_features: ClassVar[str] = "Precision and recall"

    k: int = 3
    rule: str = "torch_fidelity"

    @property
    def least(self) -> int:
        """The fewest images, of either set, that it can be of."""
        return self.k + 1

    def __call__(self, generated: FeatureSet, reference: FeatureSet) -> Numbers:
        """ "precision" and "recall"."""
        found = metrics.prdc(generated.features, reference.features, self.k, self.rule)
        return {"precision": Number(found.precision), "recall": Number(found.recall)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DensityCoverage:
    """How many neighborhoods hold a sample, and how many hold any (arXiv:2002.09797, eqs. 4-6).

    Attributes:
        k: the neighbor whose distance is the radius.
        rule: whether a point on a ball's surface is in it, see `scoresde.metrics.prdc`.
    """

    of_features: ClassVar[str] = "Density and coverage"

    k: int = 5
    rule: str = "prdc"

    @property
    def least(self) -> int:
        """The fewest images, of either set, that it can be of."""
        return self.k + 1

    def __call__(self, generated: FeatureSet, reference: FeatureSet) -> Numbers:
        """ "density" and "coverage"."""
        found = metrics.prdc(generated.features, reference.features, self.k, self.rule)
        return {"density": Number(found.density), "coverage": Number(found.coverage)}


MEASURES = {
    "fd": FrechetDistance,
    "fd_infinity": FrechetInfinity,
    "kid": KernelDistance,
    "is": ClassifierScore,
    "precision": PrecisionRecall,
    "recall": PrecisionRecall,
    "density": DensityCoverage,
    "coverage": DensityCoverage,
}
"""Measures by the names of their numbers; `package.module:Name` reaches one's own."""

BITS = "bpd"
"""The metric that is no measure of samples: the likelihood of the data, in bits/dim."""

HIGHER_IS_BETTER = ("is", "precision", "recall", "density", "coverage")
"""Of the others, lower."""

_OF_INCEPTION = {"fd": "FID", "fd_infinity": "FID-infinity", "kid": "KID", "is": "IS"}
_OF_OTHERS = {
    "fd": "FD",
    "fd_infinity": "FD-infinity",
    "kid": "kernel distance",
    "is": "classifier score",
}


def label(name: str, extractor: Any) -> str:
    """What a number is called: "FID" over the Inception network, "FD (DINOv2)" over another."""
    if name == BITS:
        return "bits/dim"
    if name not in _OF_OTHERS:
        return f"{name} ({extractor.name})"
    if extractor.is_inception:
        # Of other weights than the published ones, for tests, it says so.
        other = "" if getattr(extractor, "published", True) else f" ({extractor.name})"
        return _OF_INCEPTION[name] + other
    return f"{_OF_OTHERS[name]} ({extractor.name})"


def measures(names: list[str], extractor: Any) -> dict[str, Callable]:
    """The measures of these names, each made once, before anything is computed.

    Args:
        names: of `MEASURES`; "fid" is "fd" over the Inception network.
        extractor: the features that they will be of.

    Raises:
        UsageError: an unknown name, or a FID of other features.
    """
    made = {}
    for name in names:
        if name == "fid" and not extractor.is_inception:
            raise UsageError(
                f"A FID is of the Inception network's features, not of {extractor.name}: ask for "
                "fd, or give --features inception."
            )
        name = "fd" if name == "fid" else name
        made[name] = make("metric", MEASURES, name)
    return made


def measure(
    chosen: Mapping[str, Callable], generated: FeatureSet, reference: FeatureSet
) -> dict[str, Number]:
    """All numbers of the measures that were asked for, by name; each measure is called once."""
    metrics.stats.refuse_other_features(generated.moments, reference.moments)
    called: dict[Any, Numbers] = {}
    found = {}
    for name, function in chosen.items():
        if function not in called:
            called[function] = function(generated, reference)
        numbers = called[function]
        found |= {name: numbers[name]} if name in numbers else dict(numbers)
    return found


def check_possible(
    chosen: Mapping[str, Callable], extractor: Any, reference: FeatureSet, num: int | None = None
) -> None:
    """Refuses what cannot be measured against this reference, before samples are drawn.

    Args:
        chosen: the measures.
        extractor: of the features.
        reference: what is compared with.
        num: how many images will be; None if that is not known.

    Raises:
        UsageError: the reference is of other features, or of moments alone where a measure compares
            the features themselves; or there are too few images for a measure.
    """
    coming = metrics.Moments(np.zeros(extractor.dim), np.zeros(0), None, extractor.protocol)
    metrics.stats.refuse_other_features(coming, reference.moments)
    # What an extractor made has logits if it gives any; files of other tools may leave them out.
    without = reference.protocol is not None and reference.features is not None
    without = without and reference.logits is None
    for name, function in chosen.items():
        if without and getattr(function, "of_logits", False):
            raise UsageError(_NO_CLASSES)
        counts = {"to be measured": num}
        if words := getattr(function, "of_features", None):
            reference.need_features(words)
            counts["of the reference"] = reference.num
        for which, count in counts.items():
            if count is not None and count < least_of(function):
                raise UsageError(
                    f"The metric {name} takes {least_of(function)} images or more, and {which} "
                    f"there are {count}: let it be more, or leave {name} out."
                )


def least_of(function: Callable) -> int:
    """The fewest images that a measure can be of; 1 of one that does not say."""
    return getattr(function, "least", 1)


def options_of(chosen: Mapping[str, Callable]) -> dict[str, Any]:
    """The options of each measure, for the record."""
    return {
        name: dataclasses.asdict(function) if dataclasses.is_dataclass(function) else {}
        for name, function in chosen.items()
    }


def nearest(features: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row the number of its nearest row in the reference, and how far it is.

    Args:
        features: [n, d], a few.
        reference: [m, d].
    """
    features, squares = features.astype(np.float64), None
    numbers = np.zeros(len(features), int)
    best = np.full(len(features), np.inf)
    for start in range(0, len(reference), 4096):
        block = reference[start : start + 4096].astype(np.float64)
        squares = (features**2).sum(1)[:, None] + (block**2).sum(1) - 2 * features @ block.T
        closest = squares.argmin(axis=1)
        found = squares[np.arange(len(features)), closest]
        better = found < best
        numbers[better], best[better] = start + closest[better], found[better]
    return numbers, np.sqrt(np.maximum(best, 0))
