"""What an evaluation of samples is a measurement of; other protocols do not compare."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from scoresde.data.in_order import check_positive
from scoresde.metrics import features
from scoresde.registry import UsageError, component
from scoresde.runs.protocol import LikelihoodProtocol

# Extractors of the data that ship with the package.
_OF_DATA = {"digits": "digits_classifier", "emoji32": "emoji_classifier"}

_ATTRIBUTES = ("name", "dim", "is_inception", "protocol")  # of an extractor

_NUM = 50_000  # as papers do, where the data have as many


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of an evaluation: which parameters draw the samples, and how.

    Attributes:
        step: of the checkpoint.
        average: of the parameters; None for the last iterate.
        changes: of the config, by key.
    """

    step: int
    average: str | None
    changes: Mapping[str, Any]

    def items(self) -> list[str]:
        """The changes, of the form --config.KEY=VALUE."""
        return [f"--config.{key}={value}" for key, value in self.changes.items()]

    def record(self) -> dict[str, Any]:
        """The cell as JSON can hold it, and as a table shows it."""
        return {"step": self.step, "average": self.average or "raw", **self.changes}


@dataclasses.dataclass(frozen=True, kw_only=True)
class QualityProtocol:
    """How samples are evaluated.

    Attributes:
        metrics: names of `scoresde.quality.MEASURES`, and "bpd"; the first one says what is best.
        extractor: the features, a name of `scoresde.metrics.features.EXTRACTORS`, or a section of
            it and options; by default the classifier of bundled data, and else Inception.
        num: samples of each cell; by default as many as training images, at most 50 000.
        batch_size: samples at a time.
        seed: the same seed gives the same samples.
        checkpoints: the latest if None; a step, several, "all" that are kept, or "best": all of
            them by the first metric, and then the best one anew, with other samples.
        averages: of the parameters; None among them for the last iterate.
        sweep: key of the config -> the values that it takes, in every combination.
        reference: images or a file of statistics; by default the images of `split`.
        split: of the data, to compare with.
        floor: whether the other images of the data ("test") are measured beside the samples.
        likelihood: how "bpd" is measured; step and average are those of the cell.
    """

    metrics: Sequence[str] = ("fd", "kid", "precision", "recall")
    extractor: Any = None
    num: int | None = None
    batch_size: int = 64
    seed: int = 0
    checkpoints: int | str | Sequence[int] | None = None
    averages: Sequence[str | None] = ("ema",)
    sweep: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    reference: str | None = None
    split: str = "train"
    floor: bool = True
    likelihood: LikelihoodProtocol = dataclasses.field(default_factory=LikelihoodProtocol)

    def __post_init__(self):
        if not self.metrics:
            raise UsageError("An evaluation needs a metric, such as fd.")
        num = {} if self.num is None else {"num": self.num}
        check_positive(batch_size=self.batch_size, **num)
        if self.num == 1:
            raise UsageError("A set of one sample has no distribution: num must be at least 2.")
        if isinstance(self.checkpoints, str) and self.checkpoints not in ("all", "best"):
            raise UsageError(
                f"The checkpoint must be a step, all or best, got {self.checkpoints!r}."
            )
        if not all(self.sweep.values()) or not self.averages:
            raise UsageError("A sweep needs a value of every key, and an average.")

    def extractor_for(self, source: str) -> Any:
        """The extractor; the default one suits the data set called `source`."""
        choice = self.extractor or _OF_DATA.get(source, "inception")
        made = component("feature extractor", features.EXTRACTORS, choice, object)
        missing = [name for name in _ATTRIBUTES if not hasattr(made, name)]
        if missing or not callable(made):
            words = f"no {', '.join(missing)}" if missing else "no __call__"
            raise UsageError(
                f"The feature extractor {type(made).__name__} has {words}: what it takes is in "
                "scoresde.metrics.features."
            )
        return made

    def number_for(self, images: int) -> int:
        """How many samples, where there are so many training images."""
        return min(_NUM, images) if self.num is None else self.num

    def cells(self, steps: Sequence[int]) -> list[Cell]:
        """Every combination of the steps, the averages and the values of the sweep."""
        keys, values = list(self.sweep), list(self.sweep.values())
        return [
            Cell(step=step, average=average, changes=dict(zip(keys, chosen)))
            for step, average, *chosen in itertools.product(steps, self.averages, *values)
        ]
