"""What the user sees of a job in batches: a bar on a terminal, else lines."""

import sys
import time
from typing import TextIO

import jax
import tqdm

from scoresde.jobs.bar import bar
from scoresde.jobs.report import Report
from scoresde.jobs.say import say

QUIET = 30.0
"""Where there is no bar, a line is printed at least so often, in seconds."""


class Progress:
    """The `progress` of a job that shows it on stderr, from the first of several processes.

    On a terminal a bar over samples, with the results so far; elsewhere a line when it is compiled,
    then one a batch, or for each percent where there are more than a hundred of them, and one
    every half minute of a batch that takes longer.

    Args:
        unit: what is counted, in short.
        stream: where to write, by default stderr; a bar on a terminal, else lines.

    Attributes:
        last: the last report; None before the first.
    """

    def __init__(self, unit: str = "img", stream: TextIO | None = None):
        self._unit = unit
        self._stream = sys.stderr if stream is None else stream
        self._bar: tqdm.tqdm | None = None
        self._batches: list[tuple[int, float]] = []  # how many samples are done, and seconds
        self._said = 0.0  # when
        self.last: Report | None = None

    def __call__(self, report: Report) -> None:
        """Shows the report."""
        last, self.last = self.last, report
        if jax.process_index() != 0:
            return
        show = self._on_bar if self._stream.isatty() else self._in_lines
        if report.stage == "start":
            there = f" {report.found} of them are there already." if report.found else ""
            self._say(report.text + there)
        elif report.stage == "batch":
            self._batches.append((report.done - last.done, report.seconds))
        show(report)

    def _on_bar(self, report: Report) -> None:
        if report.stage == "start":
            self._bar = bar(self._stream, total=report.num, initial=report.done, unit=self._unit)
        elif self._bar is None:
            return
        elif report.stage == "compiling":
            self._bar.set_description_str("compiling")
        elif report.stage == "compiled":
            self._bar.unpause()  # compilation says nothing about the speed
            self._bar.set_description_str("")
        elif report.stage == "batch":
            self._bar.set_postfix_str(report.text, refresh=False)
            self._bar.update(report.done - self._bar.n)
        elif report.stage == "end":
            self._bar.close()
            self._bar = None
        if self._bar is not None:
            self._bar.refresh()  # its clock

    def _in_lines(self, report: Report) -> None:
        counted = f"{report.done}/{report.num} {self._unit}"
        if report.stage == "compiling":
            self._say("compiling ...")
        elif report.stage == "compiled":
            self._say(f"compiled in {report.seconds:.1f} s")
        elif report.stage == "waiting" and self._silent_for(QUIET):
            self._say(f"{counted}; the next batch: {_interval(report.seconds)} so far")
        elif report.stage == "batch":
            rows, seconds = self._batches[-1]
            whole = 100 * report.done // report.num > 100 * (report.done - rows) // report.num
            if whole or self._silent_for(QUIET):
                text = f"  {report.text}" if report.text else ""
                self._say(f"{counted}{text}  {seconds:.2f} s a batch{self._left(report)}")

    def _left(self, report: Report) -> str:
        """How much longer it takes, by the last batches; nothing at the end."""
        # While the small programs after the large one are compiled, the first batch goes on.
        measured = self._batches[1:][-50:] or self._batches
        rows, seconds = (sum(column) for column in zip(*measured))
        left = report.num - report.done
        return f"  ETA {_interval(left * seconds / rows)}" if left else ""

    def _silent_for(self, seconds: float) -> bool:
        return time.monotonic() - self._said >= seconds

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        say(text, self._stream)


def _interval(seconds: float) -> str:
    return tqdm.tqdm.format_interval(seconds)
