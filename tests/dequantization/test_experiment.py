"""The dequantizers that a config describes."""

import pathlib

import pytest

from scoresde import build, dequantization
from scoresde.cli.arguments import config_from_file
from scoresde.registry import UsageError

CONFIG = str(pathlib.Path(__file__).parent.parent.parent / "configs/vp/digits.py")


def experiment(*overrides, **dequantizer):
    config = config_from_file(CONFIG, list(overrides)).unlock()
    config.dequantizer.update(dequantizer)
    return build.experiment(config)


def test_an_experiment_fills_in_its_codec_process_and_t_min():
    built = experiment("--config.likelihood.t_min=0.01", "--config.data.dequantize=False")
    dequantizer, bin_range = built.dequantizer("truncated_normal")
    ratio = float(built.sde.sigma(0.01) / built.sde.alpha(0.01))
    assert dequantizer.std == pytest.approx(ratio, rel=1e-5)
    assert bin_range == pytest.approx((-1 - 1 / 16, 1 + 1 / 16))
    assert built.dequantizer("truncated_normal", std=0.3)[0].std == 0.3
    flow, bin_range = built.dequantizer("flow", params={"weights": 1})
    assert flow == dequantization.FlowDequantizer(
        network=built.dequantizer_network(), params={"weights": 1}
    )
    assert bin_range == (-1, 1)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"filters": 32}, "Unknown key config.dequantizer.filters"),
        ({"network": {"filter": 32}}, "no option 'filter'.*Did you mean 'filters'"),
        ({"optimizer": {"name": "adamm"}}, "Unknown optimizer"),
        ({"num_steps": 0}, "config.dequantizer.num_steps must be at least 1"),
    ],
)
def test_unknown_keys_names_and_lengths_are_refused(changes, message):
    with pytest.raises(UsageError, match=message) as error:
        experiment(**changes)
    assert "\n" not in str(error.value)
