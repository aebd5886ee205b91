"""Averages of the parameters: what they compute, and that a run holds any number of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import registry, training
from scoresde.registry import UsageError
from scoresde.training import EMA

from . import toy


def test_ema_weights_follow_the_published_warmups():
    assert float(EMA(rate=0.999).newest_weight(1)) == pytest.approx(0.001, rel=1e-6)
    warm = EMA(rate=0.999, warmup="inverse")
    weights = [float(warm.newest_weight(n)) for n in (1, 2, 90, 8990, 10**6)]
    assert weights == pytest.approx([9 / 11, 9 / 12, 0.09, 9 / 9000, 0.001])


@pytest.mark.parametrize("warmup", ["none", "inverse"])
def test_ema_follows_its_recursion(warmup):
    ema = EMA(rate=0.9, warmup=warmup)
    rng = np.random.default_rng(0)
    average, want = ema.init({"w": jnp.zeros(3)}), np.zeros(3)
    for n, value in enumerate(rng.normal(size=(30, 3)), start=1):
        rate = min(0.9, (1 + n) / (10 + n)) if warmup == "inverse" else 0.9
        want = rate * want + (1 - rate) * value
        average = ema.update(average, {"w": jnp.asarray(value, jnp.float32)}, n)
    np.testing.assert_allclose(average["w"], want, atol=1e-6)


def test_edms_ramp_up_is_of_images():
    """A half-life of 500k images, or 5 % of those seen before the step, whatever the batch."""
    for batch in (256, 512):
        ema = EMA(rate=0.5 ** (batch / 500_000), warmup="edm")
        for n in (1, 2, 1000, 30_000, 50_000):
            half_life = min(500_000, 0.05 * (n - 1) * batch)
            want = 1.0 if n == 1 else 1 - 0.5 ** (batch / half_life)
            assert float(ema.newest_weight(n)) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("warmup", ["none", "inverse", "edm"])
def test_what_an_ema_holds_of_its_start(warmup):
    ema = EMA(rate=0.9, warmup=warmup)
    average = jnp.ones(())
    for n in range(1, 8):
        average = ema.update(average, jnp.zeros(()), n)
    assert ema.start_weight(7) == pytest.approx(float(average), rel=1e-5)
    assert EMA(rate=0.0).start_weight(7) == 0


def test_an_ema_rate_close_to_one_keeps_its_digits():
    """In float32, 1 - 0.999999 taken after rounding would be 5 % off."""
    average = EMA(rate=0.999999).update(jnp.zeros(()), jnp.ones(()), 1)
    assert float(average) == pytest.approx(1e-6, rel=1e-6)


def test_an_ema_of_rate_zero_is_the_parameters():
    average = EMA(rate=0.0).update(jnp.zeros(()), jnp.float32(0.7), 1)
    assert float(average) == np.float32(0.7)


def test_impossible_emas_are_refused():
    with pytest.raises(UsageError, match="EMA rate must lie in"):
        EMA(rate=1.0)
    with pytest.raises(UsageError, match="Known: edm, inverse, none"):
        EMA(rate=0.9, warmup="linear")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of the iterates after step `first` (Polyak and Juditsky, 1992)."""

    first: int

    def init(self, params):
        return params

    def update(self, state, params, step):
        count = jnp.maximum(step - self.first, 1)
        return jax.tree.map(lambda mean, new: mean + (new - mean) / count, state, params)


@pytest.fixture(scope="module")
def three():
    """Two of one class, and a class of one's own by its path."""

    def average(name, **options):
        return registry.make("average", training.AVERAGES, name, **options)

    return {
        "ema": average("ema", rate=0.9),
        "slow": average("ema", rate=0.99, warmup="inverse"),
        "mean": average(f"{__name__}:Mean", first=4),
    }


@pytest.fixture(scope="module")
def whole(three, tmp_path_factory):
    """Twelve steps with three averages: (directory, state, parameters after every step)."""
    workdir, history = tmp_path_factory.mktemp("three"), [jax.device_get(toy.make_params())]
    note = (1, lambda step, state: history.append(jax.device_get(state.params)))
    state = toy.run(workdir, 12, averages=three, callbacks=[note])
    return workdir, state, history


def test_every_average_of_a_run_is_what_it_says(whole):
    _, state, history = whole
    want = dict.fromkeys(("ema", "slow"), history[0])
    for n, params in enumerate(history[1:], start=1):
        for name, rate in (("ema", 0.9), ("slow", min(0.99, (1 + n) / (10 + n)))):
            want[name] = jax.tree.map(
                lambda a, p, rate=rate: rate * a + (1 - rate) * p, want[name], params
            )
    want["mean"] = jax.tree.map(lambda *values: np.mean(values, axis=0), *history[5:])
    assert state.averages.keys() == want.keys()
    jax.tree.map(
        lambda found, want: np.testing.assert_allclose(found, want, atol=1e-6), state.averages, want
    )


def test_a_run_of_several_averages_resumes_to_the_bit(three, whole, tmp_path):
    toy.run(tmp_path, 7, averages=three)
    state = toy.run(tmp_path, 12, averages=three)
    toy.assert_equal(toy.arrays(state), toy.arrays(whole[1]))


def test_every_average_is_loaded_by_its_name(whole):
    workdir, state, _ = whole
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    assert checkpoints.averages() == ["ema", "mean", "slow"]
    for name in (None, "ema", "mean", "slow"):
        found = checkpoints.restore_params(average=name, abstract_params=toy.make_params())
        jax.tree.map(np.testing.assert_array_equal, found, state.averaged(name))


def test_a_run_may_hold_no_average():
    mesh = training.make_mesh()
    train_step = training.make_train_step(toy.loss_fn, toy.make_optimizer(), mesh, averages={})
    state, _ = toy.dispatch(mesh, train_step, 1, 1, averages={})
    assert state.averages == {}
    with pytest.raises(UsageError, match=r"no average 'ema'; there are \(none\), and None is the"):
        state.averaged("ema")


class Flat:
    """No tree like the parameters."""

    def init(self, params):
        return {"in": params["in"], "out": jnp.zeros(4)}


def test_an_average_must_be_a_tree_like_the_parameters():
    words = r"'flat' is no tree like the parameters: it also holds out; it lacks out/bias; .*"
    with pytest.raises(UsageError, match=words):
        toy.make_state(averages={"flat": Flat()})


@pytest.mark.parametrize("average", [EMA(rate=0.999), training.PowerEMA(length=0.1)])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_parameters_in_which_an_average_would_not_move_are_refused(average, dtype):
    params = {"layer": {"kernel": jnp.ones((2, 2), dtype), "bias": jnp.ones(2)}}
    with pytest.raises(UsageError, match=f"layer/kernel is {dtype}.* float32"):
        average.init(params)
    plain = {"scale": 1.0, "kernel": np.ones(2), "count": jnp.arange(3)}
    assert average.init(plain) is plain


def test_an_average_must_have_a_name_that_a_folder_can_have():
    with pytest.raises(UsageError, match=r"cannot be called '\.\./ema': its name"):
        toy.make_state(averages={"../ema": EMA(rate=0.9)})
    with pytest.raises(UsageError, match=r"cannot be called 'raw': results"):
        toy.make_state(averages={"raw": EMA(rate=0.9)})
