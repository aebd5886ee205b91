"""The log of a run: `metrics.jsonl`, TensorBoard scalars, and a plot of the loss."""

import contextlib
import json
import operator
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from scoresde import files
from scoresde.registry import UsageError
from scoresde.training.tensorboard import TensorBoardFile

FILE_NAME = "metrics.jsonl"

Tracker = Callable[[int, Mapping[str, float]], None]


class NoLossesError(UsageError):
    """There is nothing to draw yet."""


def _read_lines(path: pathlib.Path) -> list[tuple[str, dict[str, Any]]]:
    """The lines of a log and what they say; a last line that a crash cut short is left out."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            operator.index(row["step"])
        except (ValueError, TypeError, KeyError):
            raise UsageError(
                f"Line {number} of {path} is not a log entry; remove that line."
            ) from None
        rows.append(row)
    return list(zip(lines, rows, strict=True))


def read_log(workdir: str | pathlib.Path) -> list[dict[str, Any]]:
    """The logged values: one dictionary a step, ascending, with "step" among its keys.

    Raises:
        UsageError: there is no log, or a line of it cannot be read.
    """
    path = pathlib.Path(workdir) / FILE_NAME
    if not path.exists():
        raise UsageError(f"There is no log {path}; train first, or name another workdir.")
    rows: dict[int, dict[str, Any]] = {}
    for _, row in _read_lines(path):
        rows.setdefault(row["step"], {}).update(row)
    return [rows[step] for step in sorted(rows)]


class LogWriter:
    """Appends scalars to `metrics.jsonl` and to the TensorBoard files in `tensorboard/`.

    The log of a run that was interrupted and resumed equals that of one that was not: entries
    after the step resumed from are removed, and nothing that depends on the clock is in it. Of
    several processes, only the first writes.

    Args:
        workdir: directory of the run, created if needed.
        resume_step: the step the run continues from, 0 for a new one; later entries are removed.
        also: is given all that TensorBoard is, as (step, scalars).

    Raises:
        UsageError: the disk is full, read-only or gone; also of its methods. What is in the log
            by then is read without its last line, if that was cut short.
    """

    def __init__(
        self, workdir: str | pathlib.Path, resume_step: int = 0, also: Tracker | None = None
    ):
        self._file, self._also = None, also
        if jax.process_index() != 0:
            return
        workdir = pathlib.Path(workdir)
        self._path = path = workdir / FILE_NAME
        with files.writing(path):
            workdir.mkdir(parents=True, exist_ok=True)
            lines = _read_lines(path) if path.exists() else []
            shortened = path.with_suffix(".tmp")
            with shortened.open("w", encoding="utf-8") as file:
                file.writelines(line for line, row in lines if row["step"] <= resume_step)
                _sync(file)
            os.replace(shortened, path)
            self._tensorboard = TensorBoardFile(
                workdir / "tensorboard", hide_from=resume_step + 1 if lines else None
            )
            self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> "LogWriter":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        # What ended the block is what the user is told, not what that does to the files.
        with contextlib.suppress(UsageError) if kind else contextlib.nullcontext():
            self.close()

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Logs the scalars `metrics` of a step; steps must not decrease."""
        if self._file is not None:
            scalars = {name: float(value) for name, value in metrics.items()}
            with files.writing(self._path):
                self._file.write(json.dumps({"step": step, **scalars}) + "\n")
                self._file.flush()
            self.write_timing(step, scalars)

    def write_timing(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs what depends on the clock, which the log itself does not hold."""
        if self._file is not None:
            if self._also is not None:
                self._also(step, metrics)
            with files.writing(self._tensorboard.path):
                for name, value in metrics.items():
                    self._tensorboard.write(name, value, step)

    def check(self) -> None:
        """Raises UsageError if the log is no longer where it was: what is written would be lost."""
        if self._file is None:
            return
        try:
            there = os.path.samestat(os.fstat(self._file.fileno()), os.stat(self._path))
        except OSError:
            there = False
        if not there:
            raise UsageError(
                f"{self._path} is gone, or another file is in its place. The run stops: put its "
                "directory back to go on from the last checkpoint, or start anew."
            )

    def flush(self) -> None:
        """Returns when everything written is on disk, where it can be found."""
        if self._file is not None:
            self.check()
            with files.writing(self._path):
                _sync(self._file)
                self._tensorboard.flush()

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.ExitStack() as stack:
                stack.enter_context(files.writing(self._path))
                stack.callback(file.close)
                stack.callback(self._tensorboard.close)
                _sync(file)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _smooth(values: np.ndarray, reach: int) -> np.ndarray:
    """A running mean over `reach` values to either side, or as many as there are."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def plot_loss(workdir: str | pathlib.Path) -> pathlib.Path:
    """Draws the logged losses over the steps, raw and smoothed, to `loss.png`.

    Every logged name that is or ends in "loss" gets a curve. The axis is logarithmic where all
    values are positive.

    Returns:
        The path of the picture.

    Raises:
        NoLossesError: there is no loss in the log.
        UsageError: there is no log, or the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a second to import
    from matplotlib.figure import Figure

    rows = read_log(workdir)
    names = sorted({name for row in rows for name in row if name.endswith("loss")})
    if not names:
        path = pathlib.Path(workdir) / FILE_NAME
        raise NoLossesError(f"{path} holds no loss yet; train longer.")
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    title = f"{pathlib.Path(workdir).resolve().name}: loss, raw and smoothed"
    axes = figure.add_subplot(xlabel="step", ylabel="loss", title=title)
    positive = True
    for name in reversed(names):
        points = [(row["step"], row[name]) for row in rows if name in row]
        steps, values = np.asarray(points, np.float64).T
        positive &= bool(np.all(values > 0))
        (raw,) = axes.plot(steps, values, linewidth=0.8, alpha=0.3)
        smooth = _smooth(values, reach=len(values) // 40)
        alone = "o" if len(values) == 1 else ""  # a line of one point would not show
        axes.plot(steps, smooth, color=raw.get_color(), marker=alone, label=name)
    axes.set_yscale("log" if positive else "linear")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    path = pathlib.Path(workdir) / "loss.png"
    with files.replacing(path) as file:
        figure.savefig(file, dpi=150, format="png")
    return path
