"""The loop over images: in order, none left out, and from where it was interrupted."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scoresde import jobs


def in_passes(
    estimate: Callable[[np.ndarray, int], Mapping[str, Any]],
    *,
    num: int,
    batch_size: int,
    passes: int,
    **options: Any,
) -> dict[str, np.ndarray]:
    """Every image, `passes` times, in batches of one size.

    Args:
        estimate: (numbers of the images [batch], number of the pass) -> arrays [batch] by name, on
            the device or not. It must be a function of its arguments, or a resumed evaluation would
            differ. The last batch goes on beyond the last image, whose surplus results are dropped.
        num: number of images.
        batch_size: images at a time.
        passes: how often each image is evaluated.
        **options: of `scoresde.jobs.in_batches`: `parts` in which finished batches are kept and
            found again, `progress`, ...

    Returns:
        The arrays by name, [num, passes], and "seconds", [batches], that the batches took.
    """

    def compute(rows: np.ndarray, fetch: jobs.Fetch) -> dict[str, np.ndarray]:
        results = [fetch(dict(estimate(rows, number))) for number in range(passes)]
        return {name: np.stack([result[name] for result in results], axis=1) for name in results[0]}

    return jobs.in_batches(compute, num=num, batch_size=batch_size, **options)
