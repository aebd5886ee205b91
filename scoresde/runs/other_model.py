"""A model that another run has trained, as the command line names it: DIR@STEP@AVERAGE."""

import dataclasses
import pathlib
from typing import Any

from scoresde.denoiser import Denoiser
from scoresde.registry import UsageError
from scoresde.runs.trained_model import TrainedModel

RAW = "raw"
"""The last parameters, in the place of an average's name."""


@dataclasses.dataclass(frozen=True)
class OtherModel:
    """Parameters of a run: a checkpoint's, and of these an average or the last ones.

    Attributes:
        run: whose.
        step: of the checkpoint.
        average: by its name; None for the last parameters.
    """

    run: TrainedModel
    step: int
    average: str | None = "ema"

    def __str__(self) -> str:
        return f"{self.run.workdir}@{self.step}@{RAW if self.average is None else self.average}"

    def params(self) -> Any:
        """See `TrainedModel.params`."""
        return self.run.params(self.step, self.average)

    def denoiser(self, t_min: float | None = None) -> Denoiser:
        """See `TrainedModel.denoiser`."""
        return self.run.denoiser(self.step, self.average, t_min)


def other_model(reference: str, option: str) -> OtherModel:
    """The model that DIR, DIR@STEP, DIR@AVERAGE or DIR@STEP@AVERAGE names.

    Without a step it is the latest one's, without an average its "ema"; "raw" is the last
    parameters. Whether there is such an average turns out when it is read.

    Args:
        reference: what names it.
        option: where it was given, for the messages.

    Raises:
        UsageError: there is no such run or checkpoint, or it is not written so.
    """
    directory, marks = reference, []
    while not pathlib.Path(directory).exists() and "@" in directory:
        directory, _, mark = directory.rpartition("@")
        marks.insert(0, mark)
    step = int(marks.pop(0)) if marks and marks[0].isdecimal() else None
    average = marks.pop(0) if marks and marks[0].isidentifier() else "ema"
    if marks:
        raise UsageError(
            f"{option} is DIR, or DIR@STEP with a number, and with @NAME behind it an average of "
            f"that name (or {RAW}), not {reference!r}."
        )
    run, average = TrainedModel(directory), None if average == RAW else average
    return OtherModel(run, run.step(step, average), average)
