"""What `sample` and `likelihood` have in common: progress, and a stop that says how to go on."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any

from scoresde.cli.stopping import stopping


@contextlib.contextmanager
def long_job(arguments: argparse.Namespace, nouns: str) -> Iterator["Lazy"]:
    """A `progress` for the job within; Ctrl-C and SIGTERM end it with a line.

    Args:
        arguments: of the command.
        nouns: what it counts.
    """
    progress = Lazy(nouns)
    with stopping(lambda: _words(progress.last, nouns, arguments.overwrite)):
        yield progress


class Lazy:
    """`scoresde.jobs.Progress`, made when it is needed: a signal may come while JAX is imported."""

    def __init__(self, unit: str):
        self._unit, self._progress = unit, None

    @property
    def last(self) -> Any:
        """The last report; None before the first."""
        return None if self._progress is None else self._progress.last

    def __call__(self, report: Any) -> None:
        """Shows a `scoresde.jobs.Report`."""
        if self._progress is None:
            from scoresde.jobs import Progress

            self._progress = Progress(self._unit)
        self._progress(report)


def _words(report: Any, nouns: str, overwrites: bool) -> str | None:
    if report is None:
        return "It had not begun; the same command starts it again."
    import jax  # it has been, by now

    if jax.process_index() != 0:
        return None
    if not report.done:
        return f"No {nouns} were done yet; the same command starts again."
    again = "the same command" + (", without --overwrite," if overwrites else "")
    rest = "goes on from there" if report.done < report.num else "writes the results"
    return f"{report.done} of {report.num} {nouns} are kept in {report.kept}; {again} {rest}."
