"""The loop over batches: in order, none left out, and from where it was interrupted."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from scoresde.jobs.agreement import agreed, together
from scoresde.jobs.parts import Parts
from scoresde.jobs.report import Report, Tell, silent

Fetch = Callable[[Any], Any]
"""Waits for a tree of device arrays, and returns it on the host."""

# Between two looks at the device, at most: a signal is heeded in between.
_NAP = 0.05
# Between two reports of a batch that takes long.
_WAITING = 0.5


def in_batches(
    compute: Callable[[np.ndarray, Fetch], Mapping[str, np.ndarray]],
    *,
    num: int,
    batch_size: int,
    parts: Parts | None = None,
    progress: Tell | None = None,
    about: str = "",
    note: Callable[[Mapping[str, np.ndarray]], str] = lambda batch: "",
) -> dict[str, np.ndarray]:
    """The rows 0 .. num - 1, a batch at a time; only one batch is on the device.

    Args:
        compute: (numbers of the rows [batch_size], fetch) -> arrays by name, on the host, of a row
            each; `fetch` takes them there. It must be a function of the rows, or a resumed job
            would differ. The last batch goes on beyond the last row, whose surplus is dropped.
        num: number of rows.
        batch_size: rows at a time.
        parts: where the first process keeps finished batches, and all find them again; None keeps
            nothing.
        progress: called with a `Report` now and then.
        about: the text of the first one: what is done, and where it is written.
        note: called with each batch in order, new or found: the text of later reports.

    Returns:
        The arrays by name, [num, ...], and "seconds", [batches], that the batches took, compilation
        included.
    """
    firsts = range(0, num, batch_size)

    def rows_of(first: int) -> int:
        return min(batch_size, num - first)

    there = agreed([parts is not None and first in parts for first in firsts])
    found = sum(rows_of(first) for first, is_there in zip(firsts, there) if is_there)
    job = _Job(progress or silent, num, found, None if parts is None else parts.directory)
    job.tell("start", text=about)
    batches, text = [], ""
    try:
        for first, is_there in zip(firsts, there):
            if is_there:
                batch = parts.load(first)
            else:
                start = time.perf_counter()
                computed = compute(np.arange(first, first + batch_size), job.fetch)
                batch = {name: array[: rows_of(first)] for name, array in computed.items()}
                batch["seconds"] = np.array([time.perf_counter() - start])
                if parts is not None and jax.process_index() == 0:
                    parts.save(first, **batch)
            text = note(batch)
            if not is_there:
                job.finish_batch(rows_of(first), text)
            batches.append(batch)
    finally:
        job.tell("end", text=text)
    if parts is not None:
        together()  # all have read them, and the first may remove them
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def to_host(x: jax.Array) -> np.ndarray:
    """A device array whole on the host of every process."""
    if not isinstance(x, jax.Array):
        return np.asarray(x)
    if jax.process_count() == 1:
        return np.array(x)  # a copy: on CPUs a view would keep the device's array
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(x, tiled=True)


class _Job:
    """What a job has to tell, and its watch."""

    def __init__(self, progress, num, found, kept):
        self._progress, self._known = progress, {"num": num, "found": found, "kept": kept}
        self._done, self._begun, self._compiled = found, None, False
        self._seconds = 0.0  # of the batch, without compilation

    def tell(self, stage: str, **more: Any) -> None:
        if stage == "start" and self._done < self._known["num"]:
            self._progress(Report(stage="start", done=self._done, **self._known, **more))
            self._progress(Report(stage="compiling", done=self._done, **self._known))
            self._begun = time.perf_counter()
            return
        self._progress(Report(stage=stage, done=self._done, **self._known, **more))

    def fetch(self, tree: Any) -> Any:
        """What JAX has begun to compute: its call returns once it is compiled."""
        start = time.perf_counter()
        if not self._compiled:
            self._compiled = True
            self.tell("compiled", seconds=start - self._begun)
        pending = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "is_ready")]
        nap, told = 0.001, start
        while pending := [leaf for leaf in pending if not leaf.is_ready()]:
            time.sleep(nap)
            nap = min(2 * nap, _NAP)
            if (now := time.perf_counter()) - told >= _WAITING:
                told = now
                self.tell("waiting", seconds=self._seconds + now - start)
        host = jax.tree.map(to_host, tree)
        self._seconds += time.perf_counter() - start
        return host

    def finish_batch(self, rows: int, text: str) -> None:
        self._done += rows
        self.tell("batch", seconds=self._seconds, text=text)
        self._seconds = 0.0
