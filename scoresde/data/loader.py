"""Batches for training: shuffled, endless, sharded over processes, resumable to the bit.

A batch is a pure function of the seed and of its number: the number gives the records, and one
NumPy gather picks their images out of memory. Grain drives this function over the numbers, ahead of
time and in a thread of its own, and the state of a loader is the number of its next batch. (Grain's
own shuffle works record by record, and at 1500 records takes as long as a small network.)
"""

import dataclasses
import functools
import operator
import sys

import grain
import numpy as np

from scoresde.data.in_order import check_positive, check_process
from scoresde.data.split import Split
from scoresde.registry import UsageError, shown

# Batches made ahead by the background thread: enough to cover a hiccup, little memory.
_PREFETCH = 4

# Bytes of a batch that is made in less time than a thread takes to hand it over, where the images
# are in memory.
_SMALL = 2**16

# Each use of the seed draws from a stream of its own.
_ORDER, _FLIPS = 0, 1


class Loader(grain.DatasetIterator):
    """An iterator over batches for training.

    A batch is dict(image=uint8 [batch, height, width, channels], label=int32 [batch]), and the
    split's further arrays [batch, ...] by their names. Real data are as they are.

    The stream of records is one permutation of the split after another. Batches are cut from this
    stream, so that one may span two epochs and no record is left out of any. Two loaders with the
    same arguments give the same batches. Of several processes each reads its own part of every
    batch, and together the parts are the batch of a single process.

    A background thread keeps a few batches ready, unless they are so small that making one is
    quicker; `close` (or the end of the process, or losing the last reference) stops it. As a Grain
    iterator a loader may be handed to `grain.checkpoint.CheckpointSave` and `CheckpointRestore`.

    Args:
        split: the images.
        batch_size: images in a batch of this process; over all processes, process_count times that.
        seed: determines the order and the flips, 0 .. 2^32 - 1.
        flip: mirror each image left to right with probability 1/2. The image alone is mirrored, so
            that a split with further arrays in which left and right matter cannot be flipped.
        shuffle: a new order in every epoch; otherwise the order of the split.
        repeat: go on for ever; otherwise stop after one epoch.
        process_index: which of the processes this is; process i reads the i-th part of each batch.
        process_count: number of processes.
        drop_remainder: without `repeat`, leave out a last batch that is smaller than the others.
        steps: stack this many batches, for several training steps in one dispatch:
            image [steps, batch, ...]. The batches are the same as without it. Without `repeat`, a
            last stack that is smaller is left out.

    Raises:
        UsageError: an argument outside its range, too few images for a single batch, or `flip` with
            real data or with further arrays like images.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        seed: int,
        flip: bool = False,
        shuffle: bool = True,
        repeat: bool = True,
        process_index: int = 0,
        process_count: int = 1,
        drop_remainder: bool = True,
        steps: int | None = None,
    ):
        self._iterator = None  # __del__ closes a loader even if what follows raises
        super().__init__()
        if not hasattr(split, "batch"):
            raise UsageError(
                "A loader takes one split of the data, as source.splits['train'], and not "
                f"{shown(split)}."
            )
        check_positive(batch_size=batch_size, steps=1 if steps is None else steps)
        check_process(process_index, process_count)
        if not 0 <= seed < 2**32:
            raise UsageError(f"seed must be 0 .. 2^32 - 1, not {seed}.")
        if steps is not None and not drop_remainder:
            raise UsageError("Stacked steps need batches of one size: leave out `steps`.")
        if not (repeat or drop_remainder) and process_count > 1:
            raise UsageError(
                "Processes must take the same number of equal batches: set drop_remainder=True, or "
                "use scoresde.data.batches to see every image once."
            )
        if flip:
            _check_flip(split)
        whole = batch_size * process_count
        if repeat:
            self._count = sys.maxsize // whole
        else:
            self._count = (len(split) if drop_remainder else len(split) + whole - 1) // whole
        if len(split) < process_count or self._count < (steps or 1):
            raise UsageError(
                f"{len(split)} images over {process_count} process(es) do not fill one batch: "
                f"batch_size={batch_size}, steps={steps or 1}; make them smaller."
            )
        self._steps = steps
        record = sum(np.asarray(value).nbytes for value in split.batch(slice(0, 1)).values())
        self._ahead = getattr(split, "on_disk", True) or record * batch_size * (steps or 1) > _SMALL
        self._make = _Batch(
            split=split,
            seed=(seed, 0),
            part=range(process_index * batch_size, (process_index + 1) * batch_size),
            whole=whole,
            flip=flip,
            shuffle=shuffle,
            repeat=repeat,
        )
        self._start(0)

    def _start(self, number):
        self._number = number
        if self._steps is None:
            batches = grain.MapDataset.range(number, self._count).map(self._make)
        else:
            firsts = grain.MapDataset.range(number, self._count - self._steps + 1, self._steps)
            batches = firsts.map(functools.partial(_stack, self._make, self._steps))
        # One thread: the images are in memory, and more threads would only contend for the lock.
        ahead = int(self._ahead)
        options = grain.ReadOptions(num_threads=ahead, prefetch_buffer_size=ahead * _PREFETCH)
        self._iterator = iter(batches.to_iter_dataset(options))

    def __next__(self) -> dict[str, np.ndarray]:
        batch = next(self._iterator)
        self._number += self._steps or 1
        return batch

    def get_state(self) -> dict[str, int]:
        """The number of batches given out so far, `{"batch": n}`: the same on every process."""
        return {"batch": self._number}

    def set_state(self, state: dict[str, int]) -> None:
        """Goes on exactly where `get_state` of an equal loader was read, forward or backward.

        Raises:
            UsageError: not a state, or one beyond the end of the data.
        """
        try:
            number = operator.index(state["batch"])
        except (TypeError, KeyError):
            number = -1
        if not 0 <= number <= self._count:
            raise UsageError(
                f"{state!r} is not a state of this loader; expected {{'batch': n}} with n in "
                f"0 .. {self._count}."
            )
        self._iterator.close()
        self._start(number)

    def start_prefetch(self) -> None:
        """Starts to make batches in the background before the first is asked for."""
        self._iterator.start_prefetch()

    def close(self) -> None:
        """Stops the background thread; the loader cannot be used afterward."""
        if self._iterator is not None:
            self._iterator.close()


def _check_flip(split):
    if split.real:
        raise UsageError(f"flip=True mirrors images, and {split!r} holds real data: leave it out.")
    for name, array in split.named.items():
        if array.ndim >= 4 or array.shape[1:3] == split.image_shape[:2]:
            raise UsageError(
                f"flip=True mirrors the images alone, but {name!r} {list(array.shape[1:])} looks "
                "like images too: leave flip out, or reshape to [n, dims] what has no left and "
                "right."
            )


@dataclasses.dataclass(frozen=True, eq=False)
class _Batch:
    """The batch of a number. Not a part of `Loader`: its thread must not keep a loader alive."""

    split: Split
    seed: tuple[int, int]
    part: range  # of this process in the batch of all
    whole: int  # size of that
    flip: bool
    shuffle: bool
    repeat: bool

    def __call__(self, number):
        rows = self._rows(number)
        batch = self.split.batch(rows)
        if self.flip:
            images = batch["image"]
            flips = _generator(self.seed, _FLIPS, number).random(self.whole) < 0.5
            flipped = flips[self.part.start :][: len(rows)]
            images[flipped] = images[flipped, :, ::-1]
        return batch

    def _rows(self, number):
        first, count = number * self.whole, len(self.split)
        stop = first + self.part.stop
        stop = stop if self.repeat else min(stop, count)
        epochs, rows = np.divmod(np.arange(first + self.part.start, stop), count)
        if self.shuffle:
            order = [
                _permutation(self.seed, count, epoch)[rows[epochs == epoch]]
                for epoch in range(int(epochs[0]), int(epochs[-1]) + 1)
            ]
            rows = np.concatenate(order)
        return rows


def _stack(make, steps, first):
    """The batches first .. first + steps - 1. (Grain's own takes as long as a small batch does.)"""
    if steps == 1:  # a view, not a copy
        return {name: array[None] for name, array in make(first).items()}
    batches = [make(number) for number in range(first, first + steps)]
    return {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}


@functools.lru_cache(maxsize=4)  # an epoch's order serves many batches, and a batch may span two
def _permutation(seed, count, epoch):
    return _generator(seed, _ORDER, epoch).permutation(count)


def _generator(seed, use, number):
    return np.random.default_rng((*seed, use, number))
