"""Data larger than memory: what is read of a memory-mapped file, and what stays of it."""

import os
import pathlib

import numpy as np
import pytest

from scoresde import data
from scoresde.data.mapped import largest, rows_of
from scoresde.registry import UsageError


@pytest.fixture
def mapped(tmp_path):
    """array -> the same, memory-mapped as `data.arrays` maps it."""

    def make(array):
        np.save(tmp_path / "array.npy", array)
        return np.load(tmp_path / "array.npy", mmap_mode="r").view(np.ndarray)

    return make


@pytest.mark.parametrize("shape", [(20, 3, 2, 1), (20, 5), (20,)])
@pytest.mark.parametrize("dtype", ["uint8", ">f8", "bool"])
def test_rows_are_those_of_the_array(mapped, shape, dtype):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    found = mapped(array)
    many = np.array([3, 3, 0, 19, 7])
    for rows in (many, np.arange(4, 9), many[:0], slice(2, 20, 5), slice(0, 9), -many, array == 0):
        if isinstance(rows, slice) or rows.dtype != bool or rows.ndim == 1:
            read = rows_of(found, rows)
            assert read.dtype == array.dtype
            np.testing.assert_array_equal(read, array[rows])
    np.testing.assert_array_equal(rows_of(found[5:], many[2:3]), array[5:][many[2:3]])
    np.testing.assert_array_equal(rows_of(found[::-1], many), array[::-1][many])  # another order
    assert largest(found) == array.max()
    with pytest.raises(IndexError):
        rows_of(found, np.array([20]))


def test_what_is_read_of_a_file_can_be_changed_and_is_closed_with_it(mapped):
    def opened():
        return {os.path.realpath(path) for path in pathlib.Path("/proc/self/fd").iterdir()} & {name}

    found = mapped(np.zeros((4, 2), np.uint8))
    name = str(found.base.filename)
    batch = data.Split(np.zeros((4, 2, 2, 1), np.uint8), None, {"told": found}).batch(np.arange(2))
    batch["told"] += 1
    assert found.max() == 0 and opened() == {name}
    del found
    assert opened() == set()


def test_a_file_that_was_cut_short_is_said_so(mapped):
    found = mapped(np.zeros((2000, 100), np.uint8))
    os.truncate(found.base.filename, 1000)
    with pytest.raises(UsageError, match=r"array.npy has been cut short since it was opened"):
        rows_of(found, np.array([1, 1999]))


def resident():
    """Bytes of files that this process has in memory."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssFile"))


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="Linux alone tells it")
def test_an_epoch_of_a_file_does_not_stay_in_memory(tmp_path):
    """Mapped, all of it would; a kernel may map megabytes at a touch."""
    shape = (4096, 64, 64, 3)
    images = np.lib.format.open_memmap(
        tmp_path / "train_image.npy", mode="w+", dtype=np.uint8, shape=shape
    )
    images[:, 0, 0, 0] = np.arange(4096) % 256
    size = images.nbytes
    del images
    split = data.get("arrays", path=str(tmp_path), bins=256).splits["train"]
    next(data.Loader(data.get("digits").splits["train"], 8, seed=0))  # what a loader imports
    before, seen = resident(), []
    for index in range(2):  # both processes of two
        options = {"seed": 0, "repeat": False, "process_index": index, "process_count": 2}
        for batch in data.Loader(split, 128, **options):
            seen.append(batch["image"][:, 0, 0, 0])
    assert len(np.concatenate(seen)) == 4096
    assert resident() - before < size / 10
