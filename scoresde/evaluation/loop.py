"""The loop over images: in order, none left out, and from where it was interrupted."""

import time
from collections.abc import Callable, Mapping

import numpy as np

from scoresde.evaluation.parts import Parts


def evaluate(
    estimate: Callable[[np.ndarray, int], Mapping[str, np.ndarray]],
    *,
    num: int,
    batch_size: int,
    passes: int,
    parts: Parts | None = None,
    write: bool = True,
    report: Callable[[dict[str, np.ndarray], int], None] = lambda batch, kept: None,
) -> dict[str, np.ndarray]:
    """Every image, `passes` times, in batches of one size.

    Args:
        estimate: (numbers of the images [batch], number of the pass) -> arrays [batch] by name. It
            must be a function of its arguments, or a resumed evaluation would differ. The last
            batch goes on beyond the last image, whose surplus results are dropped.
        num: number of images.
        batch_size: images at a time.
        passes: how often each image is evaluated.
        parts: where finished batches are kept, and found again; None keeps nothing.
        write: whether this process is the one that writes them.
        report: called with each batch, new or found, and the number of new images in it.

    Returns:
        The arrays by name, [num, passes], and "seconds", [batches], that the batches took.
    """
    batches = []
    for first in range(0, num, batch_size):
        kept = min(batch_size, num - first)
        batch = None if parts is None else parts.load(first)
        new = batch is None
        if new:
            start = time.perf_counter()
            rows = np.arange(first, first + batch_size)
            results = [estimate(rows, number) for number in range(passes)]
            batch = {
                name: np.stack([np.asarray(result[name])[:kept] for result in results], axis=1)
                for name in results[0]
            }
            batch["seconds"] = np.array([time.perf_counter() - start])
            if parts is not None and write:
                parts.save(first, **batch)
        batches.append(batch)
        report(batch, kept if new else 0)
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
