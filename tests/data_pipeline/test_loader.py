"""Batches for training: their order, their flips, what they carry, and going on where one was."""

import dataclasses
import gc
import json
import subprocess
import sys
import threading
import time

import grain
import numpy as np
import orbax.checkpoint as ocp
import pytest

from scoresde import data
from scoresde.registry import UsageError


def numbered(n, width=4):
    """A split whose image i, unflipped, starts with the two bytes of i; labels are i."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 2, width, 3), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(n) % 256, np.arange(n) // 256
    return data.Split(images, np.arange(n))


def labels(loader, count):
    return np.concatenate([next(loader)["label"].ravel() for _ in range(count)])


def assert_same(first, second, count):
    for _ in range(count):
        a, b = next(first), next(second)
        np.testing.assert_array_equal(a["image"], b["image"])
        np.testing.assert_array_equal(a["label"], b["label"])


def test_batches_have_the_images_of_their_labels():
    split = numbered(300)
    for batch, _ in zip(data.Loader(split, 32, seed=0), range(12)):
        assert batch["image"].dtype == np.uint8 and batch["image"].shape == (32, 2, 4, 3)
        assert batch["label"].dtype == np.int32 and batch["label"].shape == (32,)
        np.testing.assert_array_equal(batch["image"], split.images[batch["label"]])


def test_every_epoch_is_another_permutation():
    # 50 records in batches of 8: epochs end within batches, and nothing is dropped.
    order = labels(data.Loader(numbered(50), 8, seed=3), 25).reshape(4, 50)
    for epoch in order:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(50))
    assert len({tuple(epoch) for epoch in order}) == 4
    assert not np.array_equal(order[0], np.arange(50))


def test_the_shuffle_is_unbiased():
    # Over many epochs each record is equally likely to come at each place.
    epochs = labels(data.Loader(numbered(4), 400, seed=0), 2).reshape(200, 4)
    counts = np.array([np.bincount(place, minlength=4) for place in epochs.T])
    assert np.sum((counts - 50) ** 2 / 50) < 27.9  # chi-squared with 9 degrees, p = 0.001


def test_without_shuffle_records_come_in_order():
    order = labels(data.Loader(numbered(5), 2, seed=0, shuffle=False), 5)
    np.testing.assert_array_equal(order, [*range(5), *range(5)])


def test_the_seed_determines_everything():
    split = numbered(60)
    assert_same(
        data.Loader(split, 7, seed=1, flip=True), data.Loader(split, 7, seed=1, flip=True), 30
    )
    one, other = data.Loader(split, 30, seed=1), data.Loader(split, 30, seed=2)
    assert not np.array_equal(labels(one, 2), labels(other, 2))


def test_each_image_is_mirrored_with_probability_one_half():
    split = numbered(500)
    loader = data.Loader(split, 100, seed=0, flip=True)
    flips = np.zeros((2, 500), bool)
    for number in range(10):
        batch = next(loader)
        for image, label in zip(batch["image"], batch["label"]):
            original = split.images[label]
            flipped = np.array_equal(image, original[:, ::-1])
            assert flipped or np.array_equal(image, original)
            flips[number // 5, label] = flipped
    assert abs(flips.mean() - 0.5) < 4 * 0.5 / np.sqrt(1000)
    again = (flips[0] == flips[1]).mean()  # a record is flipped anew in every epoch
    assert abs(again - 0.5) < 4 * 0.5 / np.sqrt(500)
    assert split.images[7, 0, 0, 0] == 7  # the split itself is left alone


@pytest.mark.parametrize("at", [3, 17, 40])  # within the first epoch of 15 batches, and past it
@pytest.mark.parametrize("steps", [1, 2])
def test_a_loader_goes_on_exactly_where_it_was(at, steps):
    split = numbered(60)
    options = {"seed": 5, "flip": True, "steps": steps}
    loader = data.Loader(split, 4, **options)
    for _ in range(at):
        next(loader)
    state = json.loads(json.dumps(loader.get_state()))
    assert state == {"batch": at * steps}
    resumed = data.Loader(split, 4, **options)
    next(resumed)  # with batches already made ahead, which must not be used
    resumed.set_state(state)
    assert_same(loader, resumed, 20)


def test_a_loader_goes_back():
    loader = data.Loader(numbered(20), 3, seed=0, flip=True)
    state = loader.get_state()
    first = [next(loader)["image"] for _ in range(10)]
    loader.set_state(state)
    np.testing.assert_array_equal(first, [next(loader)["image"] for _ in range(10)])


def test_an_orbax_checkpoint_holds_the_state(tmp_path):
    split = numbered(30)
    loader = data.Loader(split, 4, seed=5, flip=True)
    for _ in range(9):
        next(loader)
    with ocp.CheckpointManager(tmp_path) as manager:
        save = grain.checkpoint.CheckpointSave(loader)
        manager.save(9, args=ocp.args.Composite(data=save))
        manager.wait_until_finished()
        resumed = data.Loader(split, 4, seed=5, flip=True)
        restore = grain.checkpoint.CheckpointRestore(resumed)
        manager.restore(9, args=ocp.args.Composite(data=restore))
    assert_same(loader, resumed, 5)


def test_what_is_no_state_is_refused():
    loader = data.Loader(numbered(20), 3, seed=0, repeat=False)
    for state in ({"batch": -1}, {"batch": 7}, {"next_index": 2}, None, {"batch": 1.5}):
        with pytest.raises(UsageError, match="is not a state of this loader"):
            loader.set_state(state)
    assert len(list(loader)) == 6  # still usable
    loader.set_state({"batch": 6})
    assert list(loader) == []  # the state of a loader that has ended


def test_stacked_steps_are_the_same_batches():
    split = numbered(60)
    single = data.Loader(split, 4, seed=2, flip=True)
    stacked = data.Loader(split, 4, seed=2, flip=True, steps=3)
    for _ in range(12):
        batch = next(stacked)
        assert batch["image"].shape == (3, 4, 2, 4, 3) and batch["label"].shape == (3, 4)
        for image, label in zip(batch["image"], batch["label"]):
            want = next(single)
            np.testing.assert_array_equal(image, want["image"])
            np.testing.assert_array_equal(label, want["label"])
    assert stacked.get_state() == single.get_state()


@pytest.mark.parametrize("first, stacks", [(0, 2), (1, 2), (2, 1), (5, 0)])
def test_a_last_stack_that_is_not_full_is_left_out(first, stacks):
    """Seven whole batches of four are in 30 images, and whole stacks of three are asked for."""
    loader = data.Loader(numbered(30), 4, seed=0, shuffle=False, repeat=False, steps=3)
    loader.set_state({"batch": first})
    labels = [batch["label"] for batch in loader]
    assert len(labels) == stacks and all(label.shape == (3, 4) for label in labels)
    whole = data.Loader(numbered(30), 4, seed=0, shuffle=False, repeat=False)
    want = np.stack([batch["label"] for batch in whole])[first : first + 3 * stacks]
    np.testing.assert_array_equal(np.reshape(labels, (-1, 4)), want)


@pytest.mark.parametrize("steps", [None, 2])
def test_the_parts_of_processes_are_the_batch_of_one(steps):
    """Flips included, and in batches that span two epochs."""
    split, options = numbered(26), {"seed": 0, "flip": True, "steps": steps}
    one = data.Loader(split, 12, **options)
    parts = [data.Loader(split, 4, process_index=i, process_count=3, **options) for i in range(3)]
    for _ in range(4):
        whole, found = next(one), [next(part) for part in parts]
        assert {part["image"].shape[0 if steps is None else 1] for part in found} == {4}
        for name, array in whole.items():
            axis = 0 if steps is None else 1
            together = np.concatenate([part[name] for part in found], axis=axis)
            np.testing.assert_array_equal(together, array)
    assert parts[2].get_state() == one.get_state()


def test_without_repeat_there_is_one_epoch():
    split = numbered(10)
    options = {"seed": 0, "repeat": False}
    sizes = [len(b["label"]) for b in data.Loader(split, 4, **options)]
    assert sizes == [4, 4]
    whole = list(data.Loader(split, 4, drop_remainder=False, **options))
    assert [len(b["label"]) for b in whole] == [4, 4, 2]
    seen = np.concatenate([b["label"] for b in whole])
    np.testing.assert_array_equal(np.sort(seen), np.arange(10))
    # 13 records over 2 processes: shards of 7 and 6, but both take the same number of steps.
    for i in range(2):
        shard = data.Loader(numbered(13), 7 - 1, process_index=i, process_count=2, **options)
        assert len(list(shard)) == 1


def test_a_batch_may_be_larger_than_the_split():
    # Several epochs make up one batch: what small debugging sets need.
    order = labels(data.Loader(numbered(3), 9, seed=0), 2).reshape(6, 3)
    np.testing.assert_array_equal(np.sort(order), np.tile(np.arange(3), (6, 1)))


@pytest.mark.parametrize(
    ("batch_size", "options", "message"),
    [
        (0, {}, "batch_size must be a positive integer, not 0"),
        (2.0, {}, "batch_size must be a positive integer"),
        (2, {"steps": 0}, "steps must be a positive integer"),
        (2, {"seed": -1}, "seed must be 0"),
        (2, {"process_index": 2, "process_count": 2}, "process_index must be 0 .. 1, not 2"),
        (2, {"process_count": 11}, "do not fill one batch"),
        (11, {"repeat": False}, "10 images over 1 process.* do not fill one batch"),
        (4, {"repeat": False, "steps": 3}, "do not fill one batch"),
        (2, {"steps": 2, "drop_remainder": False}, "leave out `steps`"),
        (
            2,
            {"repeat": False, "drop_remainder": False, "process_count": 2},
            "same number of equal batches",
        ),
    ],
)
def test_arguments_outside_their_range_are_refused(batch_size, options, message):
    with pytest.raises(UsageError, match=message):
        data.Loader(numbered(10), batch_size, **({"seed": 0} | options))


def with_further(n=12):
    """A split of n images of one level, i for image i, with arrays that hold i too."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 4, 6, 1))
    further = {
        "text": np.tile(np.arange(n, dtype=np.int16)[:, None], 3),
        "weight": np.arange(n) / 2,
    }
    return data.Split(images, np.arange(n), further)


@pytest.mark.parametrize("steps", [None, 2])
def test_further_arrays_stay_with_their_images(steps):
    split = with_further()
    loader = data.Loader(split, 5, seed=0, flip=True, steps=steps)
    for batch, _ in zip(loader, range(4)):
        assert set(batch) == {"image", "label", "text", "weight"}
        lead = (5,) if steps is None else (2, 5)
        assert batch["text"].shape == (*lead, 3) and batch["text"].dtype == np.int16
        numbers = batch["label"]
        np.testing.assert_array_equal(batch["image"][..., 0, 0, 0], numbers)
        np.testing.assert_array_equal(batch["text"], np.stack([numbers] * 3, axis=-1))
        np.testing.assert_array_equal(batch["weight"], numbers / 2)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (2, 3, 1)])
def test_further_images_are_not_left_unmirrored_in_silence(shape):
    split = with_further()
    split = data.Split(split.images, None, {"outline": np.zeros((12, *shape))})
    with pytest.raises(UsageError, match="mirrors the images alone, but 'outline'") as error:
        data.Loader(split, 4, seed=0, flip=True)
    assert "\n" not in str(error.value)
    assert next(data.Loader(split, 4, seed=0))["outline"].shape == (4, *shape)


def test_real_data_are_shuffled_and_never_mirrored():
    points = np.random.default_rng(0).normal(size=(20, 2))
    batch = next(data.Loader(data.Split(points, np.arange(20)), 20, seed=0))
    assert batch["image"].dtype == np.float64
    np.testing.assert_array_equal(batch["image"], points[batch["label"]])
    with pytest.raises(UsageError, match=r"flip=True mirrors images, and .* real data") as error:
        data.Loader(data.Split(points), 4, seed=0, flip=True)
    assert "\n" not in str(error.value)


def prefetch_threads():
    return [t for t in threading.enumerate() if t.name.startswith("grain-prefetch")]


def wait_for_no_threads():
    deadline = time.monotonic() + 10
    while prefetch_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not prefetch_threads()


def test_close_and_the_last_reference_stop_the_thread():
    gc.collect()  # loaders of other tests
    assert wait_for_no_threads()
    loader = data.Loader(numbered(50, width=2048), 8, seed=0)
    next(loader)
    assert len(prefetch_threads()) == 1
    loader.set_state({"batch": 5})
    next(loader)
    loader.close()
    assert wait_for_no_threads()
    with pytest.raises(ValueError, match="closed"):
        next(loader)
    loader = data.Loader(numbered(50, width=2048), 8, seed=0)
    next(loader)
    del loader
    gc.collect()
    assert wait_for_no_threads()


def test_small_batches_need_no_thread_and_those_on_disk_have_one(tmp_path):
    gc.collect()
    assert wait_for_no_threads()
    small, threaded = (data.Loader(numbered(50, width=w), 8, seed=3) for w in (4, 2048))
    for _ in range(9):  # more than an epoch
        assert np.array_equal(next(small)["label"], next(threaded)["label"])
    small.set_state({"batch": 2})
    threaded.set_state({"batch": 2})
    assert np.array_equal(next(small)["label"], next(threaded)["label"])
    threaded.close()
    assert wait_for_no_threads()
    small.close()
    with pytest.raises(ValueError, match="closed"):
        next(small)
    split = numbered(50)
    np.save(tmp_path / "images.npy", split.images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    loader = data.Loader(dataclasses.replace(split, images=mapped), 8, seed=3)
    next(loader)
    assert len(prefetch_threads()) == 1
    loader.close()


def test_an_open_loader_does_not_keep_the_process_alive():
    code = (
        "from scoresde import data;"
        "loader = data.Loader(data.get('digits').splits['train'], 64, seed=0); next(loader);"
        "print('done')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout == "done\n" and run.stderr == ""
