"""Labels that are none of a network's classes are refused wherever they enter, before compute."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import likelihood, networks, predictions, samplers, sdes
from scoresde.condition import check_condition
from scoresde.denoiser import BaseDenoiser, Denoiser, WrappedDenoiser
from scoresde.networks.labels import check_labels
from scoresde.registry import UsageError

SHAPE = (2, 2, 1)
X = np.zeros((4, *SHAPE), np.float32)


class OfClasses(nn.Module):
    """Shifts its input by the vector of the class, of ten."""

    num_classes: int = 10

    @nn.compact
    def __call__(self, x, noise_condition, labels=None, *, train=False):
        one_hot = jax.nn.one_hot(labels, self.num_classes)
        return x + nn.Dense(x.shape[-1], use_bias=False)(one_hot)[:, None, None, :]


NETWORK = networks.Network(OfClasses())


@pytest.fixture(scope="module")
def params():
    return {"Dense_0": {"kernel": jnp.arange(1.0, 11.0)[:, None]}}


WRONG = {
    "beyond": [0, 1, 2, 11],
    "negative": np.array([0, -1, 2, 3]),
    "on_the_device": jnp.array([0, 1, 2, 99]),
    "whole_floats": np.array([0.0, 1.0, 2.0, 3.0]),
    "floats": [0.5, 1.0, 2.0, 3.0],
    "booleans": np.array([True, False, True, True]),
    "text": ["dog", "cat", "cat", "cat"],
    "beyond_32_bits": np.array([2**32, 0, 0, 0]),
    "a_column": np.zeros((4, 1), int),
    "one_hot_of_others": np.eye(4, 9),
    "not_finite": np.full((4, 10), np.nan),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_label_is_refused(name):
    with pytest.raises(UsageError, match=r"[Ll]abel") as error:
        check_labels(WRONG[name], 10)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "labels",
    [[0, 9, 10, 3], np.uint8([0, 9]), jnp.int32([10]), np.eye(10)[:4], np.eye(10, dtype=bool)],
)
def test_classes_no_class_and_one_hot_rows_are_labels(labels):
    check_labels(labels, 10)
    check_labels(np.zeros((2, 10)), 10)  # rows of no class


def test_while_jax_traces_the_type_is_known_and_the_values_are_not():
    jax.eval_shape(lambda labels: check_labels(labels, 10), jnp.array([99]))
    with pytest.raises(UsageError, match="must be integers"):
        jax.eval_shape(lambda labels: check_labels(labels, 10), jnp.array([1.0]))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Wrapped(WrappedDenoiser):
    denoiser: BaseDenoiser

    def __call__(self, x, t, condition=None):
        return self.denoiser(x, t, condition)


def sample(denoiser, condition):
    sampler = samplers.get("ddim")
    return samplers.sample(
        jax.random.key(0), sampler, denoiser, X.shape, steps=2, condition=condition
    )


def bounds(bound):
    """The bound of x, or of levels where it takes those."""
    data = X if isinstance(bound, likelihood.ScoreFlowBound) else X.astype(np.uint8)
    return lambda denoiser, condition: bound(jax.random.key(0), denoiser, data, condition)


ENTRANCES = {
    "sample": sample,
    "log_prob": lambda denoiser, condition: likelihood.log_prob(
        jax.random.key(0), denoiser, X, condition=condition
    ),
    "score_flow": bounds(likelihood.ScoreFlowBound()),
    "vdm": bounds(likelihood.VDMBound()),
    "ddpm": bounds(likelihood.DDPMBound(steps=2)),
    "encode": lambda denoiser, condition: samplers.encode(denoiser, X, condition=condition),
    "interpolate": lambda denoiser, condition: samplers.interpolate(
        denoiser, X, X, 3, condition=condition
    ),
    "denoiser": lambda denoiser, condition: denoiser(X, 0.5, condition),
}


@pytest.mark.parametrize("network", [NETWORK, NETWORK.apply, functools.partial(NETWORK.apply)])
@pytest.mark.parametrize("wrap", [lambda denoiser: denoiser, Wrapped])
def test_a_denoiser_refuses_labels_however_its_network_is_given(network, wrap):
    denoiser = wrap(Denoiser(sdes.VP(), predictions.Noise(), network, None))
    with pytest.raises(UsageError, match=r"0 \.\. 9, the network's classes, or 10 for no class"):
        denoiser.check_condition({"label": [0, 11]})
    denoiser.check_condition({"label": [0, 10]})
    denoiser.check_condition({"text": [99]})
    denoiser.check_condition(None)


@pytest.mark.parametrize("name", ["beyond", "negative", "whole_floats", "beyond_32_bits"])
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_labels_are_checked_before_anything_is_computed(entrance, name, params, monkeypatch):
    def compute(*_, **__):
        raise AssertionError("the network was run")

    monkeypatch.setattr(OfClasses, "__call__", compute)
    denoiser = Denoiser(sdes.VP(t_min=1e-3), predictions.Noise(), NETWORK, params)
    with pytest.raises(UsageError, match="label must be") as error:
        ENTRANCES[entrance](denoiser, {"label": WRONG[name]})
    assert "\n" not in str(error.value)


def test_the_number_of_classes_as_a_label_is_no_class(params):
    x = np.zeros((3, *SHAPE), np.float32)
    output = NETWORK(params, x, 1.0, {"label": np.array([0, 9, 10])})
    np.testing.assert_allclose(output[:, 0, 0, 0], [1, 10, 0])
    denoiser = Denoiser(sdes.VP(), predictions.Noise(), NETWORK, params)
    assert np.isfinite(sample(denoiser, {"label": np.full(4, 10)}).x).all()


def test_an_unconditional_denoiser_within_a_guided_one_leaves_the_label_to_it():
    plain = Denoiser(sdes.VP(), predictions.Noise(), lambda params, x, t, condition: x, None)
    Wrapped(plain).check_condition({"label": [99]})
    assert BaseDenoiser().check_condition({"label": [99]}) is None


@pytest.mark.parametrize("name", ["lable", "class", "Label"])
def test_a_condition_that_nobody_reads_is_refused(name):
    network = networks.get("ncsnpp", nf=8, ch_mult=(1,), num_classes=3)
    denoiser = Denoiser(sdes.VP(), predictions.Noise(), network.apply, {})
    condition = {name: np.zeros(2, int)}
    with pytest.raises(UsageError, match=f"reads no condition '{name}'.*It reads .*label"):
        check_condition(condition, 2, denoiser)
    assert check_condition(condition, 2, denoiser, others_read=True) is not None
