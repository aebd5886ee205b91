"""A dequantizer for a codec: what its bins fill, and what follows from the process."""

import dataclasses

import jax
import numpy as np
import pytest

from scoresde import codecs, data, dequantization, sdes
from scoresde.registry import UsageError

IMAGES = np.arange(17, dtype=np.uint8).reshape(1, 17, 1, 1)


def codec(**options):
    return codecs.ImageCodec(image_shape=(17, 1, 1), bins=17, **options)


@pytest.mark.parametrize("trained_dequantized", [True, False])
def test_narrow_noise_is_around_the_values_that_the_network_was_trained_on(trained_dequantized):
    made = codec(dequantize=trained_dequantized)
    dequantizer, bin_range = dequantization.choose(
        "truncated_normal", made, sde=sdes.VP(), std=1e-5
    )
    assert bin_range == dequantizer.bin_range
    unit, _ = dequantizer(jax.random.key(0), IMAGES, 17)
    x = data.scale(unit, bin_range)
    if trained_dequantized:
        trained = 2 * (IMAGES + 0.5) / 17 - 1
        assert bin_range == pytest.approx((-1, 1))
    else:
        trained = made.encode(None, IMAGES)
        assert bin_range == pytest.approx((-1 - 1 / 16, 1 + 1 / 16))
    np.testing.assert_allclose(x, trained, atol=1e-4)


@pytest.mark.parametrize("dequantize", [True, False])
@pytest.mark.parametrize("data_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_published_protocols_fill_the_data_range(data_range, dequantize):
    made = codec(data_range=data_range, dequantize=dequantize)
    options = {"flow": {"network": None, "params": None}}
    for name in ("uniform", "flow", "scoresde.dequantization:UniformDequantizer"):
        given = options.get(name, {})
        assert dequantization.choose(name, made, sde=sdes.VP(), **given)[1] == data_range


@pytest.mark.parametrize("name", ["vp", "ve", "edm"])
def test_the_std_is_what_the_process_has_at_t_min(name):
    sde = sdes.SDES[name]()
    for t_min, t in ((None, sde.t_min), (2 * sde.t_min, 2 * sde.t_min)):
        dequantizer, _ = dequantization.choose("truncated_normal", codec(), sde=sde, t_min=t_min)
        assert dequantizer.std == pytest.approx(float(sde.sigma(t) / sde.alpha(t)), rel=1e-4)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Centered(dequantization.Dequantizer):
    """`test_choose:Centered`: no noise at all, in bins of its own."""

    width: float = 1.0

    def __call__(self, key, images, bins, condition=None):
        return dequantization.Dequantized((images + 0.5) / bins, np.zeros(len(images)))

    def bin_range_in(self, codec):
        return (0.0, self.width * codec.bins)


class Plain(dequantization.UniformDequantizer):
    """`test_choose:Plain`: the decorator is not inherited."""


def test_a_dequantizer_of_ones_own_says_what_its_bins_fill():
    name = f"{__name__}:Centered"
    assert dequantization.choose(name, codec(), sde=sdes.VP())[1] == (0, 17)
    assert dequantization.choose(name, codec(), sde=sdes.VP(), width=0.5)[1] == (0, 8.5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("unifrom", {}, "Unknown dequantizer 'unifrom'.*Did you mean 'uniform'"),
        ("uniform", {"std": 0.1}, "no option 'std'"),
        ("flow", {}, "needs the option 'network'"),
        (f"{__name__}:Plain", {}, "a Plain, is no JAX pytree: put @jax.tree_util"),
        ("scoresde.sdes:VP", {}, "'scoresde.sdes:VP' is no scoresde.dequantization.Dequantizer"),
    ],
)
def test_what_is_no_dequantizer_is_refused(name, options, message):
    with pytest.raises(UsageError, match=message) as error:
        dequantization.choose(name, codec(), sde=sdes.VP(), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", list(dequantization.DEQUANTIZERS))
def test_data_without_bins_in_x_are_refused(name):
    points = codecs.IdentityCodec(image_shape=(2,))
    with pytest.raises(UsageError, match=r"IdentityCodec has no bins .* density of x itself") as e:
        dequantization.choose(name, points, sde=sdes.VP())
    assert "\n" not in str(e.value)
