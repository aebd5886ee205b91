"""Batches for evaluation: every image once, in order."""

from collections.abc import Iterator

import numpy as np

from scoresde.data.split import Split
from scoresde.registry import UsageError


def batches(
    split: Split, batch_size: int, *, process_index: int = 0, process_count: int = 1
) -> Iterator[dict[str, np.ndarray]]:
    """All images of a split, each once, in order, in batches of one size.

    The last batch is filled up with copies of the last image, which `mask` marks: nothing is
    dropped, and a jitted function is compiled for one shape.

    Args:
        split: the images.
        batch_size: images in a batch, of this process.
        process_index: which of the processes this is. Together, the batches number i of all
            processes are the i-th group of batch_size * process_count images in order.
        process_count: number of processes; all of them get the same number of batches.

    Yields:
        dict(image=uint8 [batch, height, width, channels], label=int32 [batch], mask=bool [batch],
        index=int32 [batch]) and the split's further arrays [batch, ...] by their names, where
        `mask` is False for copies and `index` numbers the images of the split (going on beyond its
        end for the copies, so that every row of a batch has its own). Real data are as they are.

    Raises:
        UsageError: an argument outside its range.
    """
    check_positive(batch_size=batch_size)
    check_process(process_index, process_count)
    return _in_order(split, batch_size, process_index, process_count)


def _in_order(split, batch_size, process_index, process_count):
    for start in range(0, len(split), batch_size * process_count):
        first = start + process_index * batch_size
        index = np.arange(first, first + batch_size, dtype=np.int32)
        rows = np.minimum(index, len(split) - 1)
        yield {**split.batch(rows), "mask": index < len(split), "index": index}


def check_positive(**counts: int) -> None:
    """Checks that each of the named counts is a positive integer.

    Raises:
        UsageError: one is not.
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
            raise UsageError(f"{name} must be a positive integer, not {count!r}.")


def check_process(index: int, count: int) -> None:
    """Checks that `index` numbers one of `count` processes.

    Raises:
        UsageError: it does not.
    """
    check_positive(process_count=count)
    if not 0 <= index < count:
        raise UsageError(f"process_index must be 0 .. {count - 1}, not {index}.")
