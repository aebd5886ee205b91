"""From a protocol to an estimator: what it takes from the config, and what is recorded."""

import pathlib
import warnings

import pytest

from scoresde.experiment import build, load_config
from scoresde.likelihood import ExactLikelihood, Gaussian
from scoresde.registry import UsageError, UsageWarning
from scoresde.runs import LikelihoodProtocol

CONFIG = str(pathlib.Path(__file__).parent.parent.parent / "configs/vp/digits.py")


def made(*overrides, workdir=pathlib.Path("nowhere"), **options):
    experiment = build(load_config(CONFIG, list(overrides)))
    protocol = LikelihoodProtocol(**options)
    return experiment, *protocol.estimator(experiment, experiment.sde, workdir)


def test_the_exact_likelihood_is_the_configs_with_what_is_given():
    experiment, estimator, record = made(options={"probes": 8})
    assert isinstance(estimator.likelihood, ExactLikelihood)
    assert estimator.likelihood.probes == record["probes"] == 8 != experiment.likelihood.probes
    assert estimator.likelihood.rtol == experiment.likelihood.rtol == record["rtol"]
    assert record["t_min"] == experiment.likelihood.t_min


@pytest.mark.filterwarnings("ignore:The bound .* is of levels")
def test_a_bound_takes_the_configs_t_min_and_the_length_of_its_chain():
    _, estimator, record = made(bound="vdm")
    assert estimator.likelihood.t_min == record["t_min"] == 1e-5 and "rtol" not in record
    _, _, record = made(bound="ddpm")
    assert record["steps"] == 1000
    discrete = "--config.sde.name=discrete_vp", "--config.sde.num_scales=30"
    _, _, record = made(*discrete, bound="ddpm")
    assert record["steps"] == 29 and record["t_min"] == 0 and "variance" not in record
    learned = "--config.prediction.learned_variance=True"
    _, estimator, record = made(*discrete, learned, bound="ddpm", options={"decoder": "tanh"})
    assert record["variance"] == "learned" and not estimator.likelihood.variance.fixed
    assert record["decoder"] == estimator.likelihood.decoder == "tanh"


def test_a_dequantizer_follows_the_codec_the_process_and_t_min():
    changes = ("--config.likelihood.t_min=0.01", "--config.data.dequantize=False")
    experiment, estimator, record = made(*changes, dequantizer="truncated_normal")
    ratio = float(experiment.sde.sigma(0.01) / experiment.sde.alpha(0.01))
    assert estimator.dequantizer.std == pytest.approx(ratio, rel=1e-5)
    assert estimator.bin_range == pytest.approx((-1 - 1 / 16, 1 + 1 / 16))
    _, _, record = made(*changes, dequantizer="truncated_normal", dequantizer_std=0.3)
    assert record["dequantization_std"] == 0.3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"bound": "elbo"}, "Unknown bound 'elbo'"),
        ({"bound": "vdm", "dequantizer": "uniform"}, "leave out --dequantizer"),
        ({"dequantizer": "gaussian"}, "Unknown dequantizer 'gaussian'"),
        ({"dequantizer": "flow"}, "nowhere holds no dequantizer"),
        ({"options": {"samples": 3}}, "'exact' has no option 'samples'"),
        ({"options": {"trace": Gaussian()}}, "give names or sections, no objects"),
    ],
)
def test_protocols_that_contradict_themselves_are_refused(options, message):
    with pytest.raises(UsageError, match=message) as error:
        made(**options)
    assert "\n" not in str(error.value)


def test_a_bound_of_levels_warns_of_a_network_that_knows_noise_in_the_bins():
    for bound in ("vdm", "ddpm"):
        with pytest.warns(UsageWarning, match=f"'{bound}' is of levels .* trained with it"):
            made(bound=bound)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made("--config.data.dequantize=False", bound=bound)
            made(bound="score_flow")
