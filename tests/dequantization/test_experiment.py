"""Dequantisers of an experiment: what their bins fill, and what follows from the process."""

import pathlib

import jax
import numpy as np
import pytest

from scoresde import build, data, dequantization
from scoresde.cli.arguments import config_from_file
from scoresde.registry import UsageError

CONFIG = str(pathlib.Path(__file__).parent.parent.parent / "configs/vp/digits.py")


def experiment(*overrides, **dequantizer):
    config = config_from_file(CONFIG, list(overrides)).unlock()
    config.dequantizer.update(dequantizer)
    return build.experiment(config)


@pytest.mark.parametrize("trained_dequantized", [True, False])
def test_narrow_noise_is_around_the_values_that_the_network_was_trained_on(trained_dequantized):
    built = experiment(f"--config.data.dequantize={trained_dequantized}")
    dequantizer, bin_range = built.dequantizer("truncated_normal", std=1e-5)
    levels = built.source.splits["test"].images[:2]
    unit, _ = dequantizer(jax.random.key(0), levels, 17)
    x = data.scale(unit, bin_range)
    if trained_dequantized:
        trained = 2 * (levels + 0.5) / 17 - 1
        assert bin_range == pytest.approx((-1, 1))
        assert built.codec.level_range == pytest.approx((-16 / 17, 16 / 17))
    else:
        trained = np.asarray(built.codec.encode(None, levels))
        assert bin_range == pytest.approx((-1 - 1 / 16, 1 + 1 / 16))
        assert built.codec.level_range == (-1, 1)
    np.testing.assert_allclose(x, trained, atol=1e-4)


def test_published_protocols_fill_the_data_range():
    built = experiment("--config.data.dequantize=False")
    for name in ("uniform", "flow", "scoresde.dequantization:Uniform"):
        assert built.dequantizer(name)[1] == (-1, 1)


def test_the_std_is_what_the_process_has_at_t_min():
    built = experiment("--config.likelihood.t_min=0.01")
    dequantizer, _ = built.dequantizer("truncated_normal")
    ratio = float(built.sde.sigma(0.01) / built.sde.alpha(0.01))
    assert dequantizer.std == pytest.approx(ratio, rel=1e-5)
    assert isinstance(dequantizer, dequantization.TruncatedNormal)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"filters": 32}, "Unknown key config.dequantizer.filters"),
        ({"network": {"filter": 32}}, "no option 'filter'.*Did you mean 'filters'"),
        ({"optimizer": {"name": "adamm"}}, "Unknown optimizer"),
        ({"num_steps": 0}, "config.dequantizer.num_steps must be at least 1"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(UsageError, match=message) as error:
        experiment(**changes)
    assert "\n" not in str(error.value)
