"""What the user sees of a run: a progress bar, or plain lines where there is no terminal."""

import collections
import sys
import time
from typing import TextIO

import jax
import tqdm

from scoresde.jobs import say
from scoresde.jobs.bar import bar
from scoresde.jobs.progress import QUIET

# Dispatches after which a run says how long it will take.
_MEASURED = 10


class TrainingProgress:
    """Progress of a run on stderr, from the first of several processes.

    Args:
        step: the step the run starts at.
        num_steps: the step it ends at.
        stream: where to write, by default stderr; a bar on a terminal, else lines.
    """

    def __init__(self, step: int, num_steps: int, stream: TextIO | None = None):
        self._stream = sys.stderr if stream is None else stream
        self._quiet = jax.process_index() != 0
        self._num_steps = num_steps
        self._images = 0
        self._said = time.monotonic()  # when a line was printed
        self._estimated = False
        # (step, images, time) of what has finished. The first dispatch, which had to wait for the
        # compilation, only starts the clock.
        self._finished: collections.deque[tuple[int, int, float]] = collections.deque(maxlen=50)
        self._bar = bar(
            self._stream,
            total=num_steps,
            initial=step,
            unit="step",
            disable=self._quiet or not self._stream.isatty(),
        )

    def __enter__(self) -> "TrainingProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _per_second(self) -> tuple[float, float] | None:
        """Steps and images a second over the last dispatches; None before they are known."""
        if len(self._finished) < 2:
            return None
        first_step, first_images, start = self._finished[0]
        step, images, now = self._finished[-1]
        return (step - first_step) / (now - start), (images - first_images) / (now - start)

    def _left(self, step: int, speeds: tuple[float, float]) -> str:
        return tqdm.tqdm.format_interval(max(self._num_steps - step, 0) / speeds[0])

    @property
    def speeds(self) -> tuple[float | None, float | None]:
        """Recent steps and images a second, pauses included; None before they are known."""
        return self._per_second() or (None, None)

    def update(self, step: int, images: int, loss: float) -> None:
        """Notes that the device has finished a dispatch of `images` images that ends at `step`."""
        self._images += images
        self._finished.append((step, self._images, time.perf_counter()))
        speeds = self._per_second()
        if speeds and not self._estimated and len(self._finished) > _MEASURED:
            self._estimated = True
            if left := self._num_steps - step:
                self.message(f"About {self._left(step, speeds)} for the {left:,} steps left.")
        if self._bar.disable:
            if time.monotonic() - self._said >= QUIET:
                self.log(step, loss)
        else:
            speed = f", {speeds[1]:.0f} img/s" if speeds else ""
            self._bar.set_postfix_str(f"loss {loss:.4g}{speed}", refresh=False)
            self._bar.update(step - self._bar.n)

    def log(self, step: int, loss: float) -> None:
        """Prints the state of things as a line, where there is no bar to show it."""
        if self._bar.disable:
            line = f"step {step}/{self._num_steps}  loss {loss:.5g}"
            if speeds := self._per_second():
                line += f"  {speeds[1]:.0f} img/s  ETA {self._left(step, speeds)}"
            self.message(line)

    def message(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        self._said = time.monotonic()
        say(text, self._stream)

    def compiling(self, what: str) -> None:
        """Says that the program of a step is being compiled."""
        if self._bar.disable:
            self.message(f"compiling {what} ...")
        else:
            self._bar.set_description_str("compiling")

    def compiled(self, what: str, seconds: float) -> None:
        """Says that it is compiled."""
        self._bar.set_description_str("")
        self.message(f"compiled {what} in {seconds:.1f} s")
