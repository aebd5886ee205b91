"""Snapshots of a run, to the bit across a kill, and averages put together of them."""

import os
import signal

import jax
import numpy as np
import pytest

from scoresde import training
from scoresde.registry import UsageError
from scoresde.training import EMA, AverageFiles, PowerEMA, reconstruct, take_snapshots

from . import toy

AVERAGES = {
    "ema": EMA(rate=0.9),
    "short": PowerEMA(length=0.05),
    "long": PowerEMA(length=0.1),
    "wanted": PowerEMA(length=0.08),
}
FOLLOWED = {name: AVERAGES[name] for name in ("ema", "short", "long")}


def run(workdir, num_steps, *callbacks, dtype="float32", every=5):
    snapshots = AverageFiles(workdir / "snapshots")
    take = take_snapshots(snapshots, FOLLOWED, dtype)
    callbacks = [(every, take), *callbacks]
    state = toy.run(workdir, num_steps, averages=AVERAGES, callbacks=callbacks)
    return state, snapshots


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Forty steps without an interruption: the state, and the snapshots."""
    return run(tmp_path_factory.mktemp("whole"), 40)


def contents(snapshots):
    paths = sorted(snapshots.directory.rglob("*"))
    return {
        str(path.relative_to(snapshots.directory)): path.read_bytes()
        for path in paths
        if path.is_file()
    }


def test_a_run_leaves_a_snapshot_of_each_power_function_average(whole):
    state, snapshots = whole
    assert snapshots.names() == ["long", "short"]
    assert snapshots.steps("short") == list(range(5, 41, 5))
    saved = snapshots.all()
    assert [(s.step, s.name, s.length) for s in saved[:2]] == [(5, "long", 0.1), (5, "short", 0.05)]
    for name in ("short", "long"):
        params = snapshots.find(name, 40).params(state.params)
        jax.tree.map(np.testing.assert_array_equal, params, state.averages[name])


def test_killed_and_resumed_leaves_the_same_snapshots_bit_for_bit(whole, tmp_path):
    """Stopped at step 14, resumed, then as if killed at 27 after the snapshot of step 25."""

    def stop(step, state):
        if step == 14:
            os.kill(os.getpid(), signal.SIGTERM)

    def die(step, state):
        if step == 27:
            raise OSError("killed")

    run(tmp_path, 40, (1, stop))
    with pytest.raises(OSError, match="killed"):
        run(tmp_path, 40, (1, die))
    assert training.Checkpoints(tmp_path / "checkpoints").latest_step() == 20
    before = (tmp_path / "snapshots" / "short" / "25.npz").stat().st_mtime_ns
    (tmp_path / "snapshots" / "short" / ".30.npz.abc").write_bytes(b"half of a file")  # kill -9
    _, snapshots = run(tmp_path, 40)
    assert contents(snapshots) == contents(whole[1])
    assert (tmp_path / "snapshots" / "short" / "25.npz").stat().st_mtime_ns == before


def test_what_was_followed_comes_back(whole):
    state, snapshots = whole
    for name in ("short", "long"):
        made = reconstruct(snapshots, AVERAGES[name].length)
        assert made.step == 40 and made.error < 1e-6 and len(made.snapshots) == 16
        for path, leaf in jax.tree_util.tree_leaves_with_path(state.averages[name]):
            found = made.params[jax.tree_util.keystr(path, simple=True, separator="/")]
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, leaf, rtol=1e-5, atol=1e-6)


def test_a_length_in_between_is_near_what_would_have_been_followed(whole):
    state, snapshots = whole
    made = reconstruct(snapshots, 0.08)
    found = np.concatenate([np.ravel(made.params[name]) for name in sorted(made.params)])

    def flat(tree):
        leaves = training.tree.by_name(tree)
        return np.concatenate([np.ravel(leaves[name]) for name in sorted(leaves)])

    wanted, short = flat(state.averages["wanted"]), flat(state.averages["short"])
    assert np.linalg.norm(found - wanted) < 0.05 * np.linalg.norm(short - wanted)


def test_an_earlier_step_is_of_the_snapshots_up_to_it(whole):
    made = reconstruct(whole[1], 0.1, step=20)
    assert made.step == 20 and max(s.step for s in made.snapshots) == 20
    expected = whole[1].find("long", 20).arrays()
    for name, value in made.params.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)


def test_half_the_space_costs_digits_and_keeps_what_it_cannot_hold(tmp_path):
    files = AverageFiles(tmp_path)
    tree = {"large": np.float32([1e6]), "small": np.float32([1 / 3])}
    files.save("a", 1, tree, 0.1, "float16")
    arrays = files.find("a", 1).arrays()
    assert arrays["small"].dtype == np.float16 and arrays["large"].dtype == np.float32
    params = files.find("a").params(tree)
    assert params["small"].dtype == np.float32
    np.testing.assert_allclose(params["small"], 1 / 3, rtol=1e-3)
    assert params["large"] == 1e6


def test_refusals(whole, tmp_path):
    _, snapshots = whole
    for length, step, message in (
        (0.3, None, "lies above 0 and up to 0.2886"),
        (0.1, 41, "Step 41 lies beyond the last snapshot in .*, of step 40"),
        (0.1, 4, "are of steps 5 to 40"),
    ):
        with pytest.raises(UsageError, match=message):
            reconstruct(snapshots, length, step)
    with pytest.raises(UsageError, match=r"no snapshots in .*snapshot_every"):
        reconstruct(AverageFiles(tmp_path / "none"), 0.1)
    with pytest.raises(UsageError, match="no average 'x'"):
        snapshots.find("x")
    with pytest.raises(UsageError, match=r"no average 'short' of step 6 .* 5, 10"):
        snapshots.find("short", 6)


def test_damage_and_another_network_are_told_in_a_line(whole, tmp_path):
    state, _ = whole
    files = AverageFiles(tmp_path)
    path = files.save("a", 3, {"other": np.zeros(2, np.float32)}, 0.1)
    with pytest.raises(UsageError, match=r"another network .* it lacks in/bias"):
        files.find("a").params(state.params)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"3.npz is damaged"):
        files.find("a")
    (tmp_path / "a" / "notes.txt").write_text("x")
    assert files.steps("a") == [3]


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"a": np.float32([np.nan, 0])}, "2.npz is not finite, in a: delete it"),
        ({"a": np.zeros(3, np.float32)}, "2.npz holds other arrays than .*1.npz"),
        ({"b": np.zeros(2, np.float32)}, "2.npz holds other arrays than .*1.npz"),
    ],
)
def test_snapshots_that_would_spoil_an_average_are_refused(changed, message, tmp_path):
    files = AverageFiles(tmp_path)
    for step, tree in ((1, {"a": np.ones(2, np.float32)}), (2, changed)):
        files.save("short", step, tree, 0.05)
    with pytest.raises(UsageError, match=message):
        reconstruct(files, 0.07)


def test_a_flag_of_an_archive_that_changed_is_damage(tmp_path):
    path = (files := AverageFiles(tmp_path)).save("a", 1, {"b": np.zeros(2, np.float32)}, 0.1)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 10] ^= 255  # how its first array is compressed
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"1.npz is damaged: That compression"):
        files.find("a")
