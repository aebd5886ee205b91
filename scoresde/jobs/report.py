"""What a long job tells of itself while it goes on."""

import dataclasses
import pathlib
from collections.abc import Callable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """How far a job is. Its `progress` is called with one whenever something has happened.

    Attributes:
        stage: "start"; "compiling", before the first batch is computed, and "compiled"; "waiting",
            every half second of a batch; "batch" after each that was computed; "end", also of a job
            that was stopped.
        done: how many samples are done, those of an earlier run included.
        found: how many of them an earlier run had done.
        num: how many there will be.
        seconds: how long it took to compile, how long the batch has been computed yet, or how long
            it took, without compilation; else 0.
        text: at the start what is done and where it is written, in a line; after that what the
            results say so far, in a few words.
        kept: the folder in which what is done survives the process; None if nothing does.
    """

    stage: str
    done: int
    found: int
    num: int
    seconds: float = 0.0
    text: str = ""
    kept: pathlib.Path | None = None


Tell = Callable[[Report], None]
"""The `progress` of a long job: any function of a `Report`, such as `scoresde.jobs.Progress()`."""


def silent(report: Report) -> None:
    """The `progress` that shows nothing."""
