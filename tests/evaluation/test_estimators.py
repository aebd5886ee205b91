"""Every estimator on images with a known probability: two pixels of four levels."""

import itertools
import math

import jax
import numpy as np
import pytest

from scoresde import analytic, dequantization, sdes
from scoresde.evaluation import Estimator, per_image, summarize
from scoresde.evaluation.summary import summarize_importance
from scoresde.keys import sample_keys
from scoresde.likelihood import ExactLikelihood, ScoreFlowBound, VDMBound
from scoresde.registry import UsageError

BINS, STD = 4, 0.25
LEVELS = np.array(list(itertools.product(range(BINS), repeat=2)))[:8].reshape(8, 1, 2, 1)


@pytest.fixture(scope="module")
def denoiser():
    return analytic.gaussian(np.zeros((1, 2, 1)), STD**2 * np.eye(2)).denoiser(sdes.VP())


def truth(levels):
    """log P of images whose pixels are N(0, STD^2) rounded down to their bins on [-1, 1]."""
    edges = [0.5 * math.erf((2 * k / BINS - 1) / STD / math.sqrt(2)) for k in range(BINS + 1)]
    log_p = np.log(np.diff(edges))
    return log_p[levels.reshape(len(levels), -1)].sum(axis=1)


def estimate(denoiser, repeats, likelihood, **options):
    """`repeats` estimates of each image's log P: results as of `in_passes`."""
    estimator = Estimator(likelihood=likelihood, bins=BINS, **options)
    levels = np.repeat(LEVELS, repeats, axis=0)
    noise_keys, keys = (sample_keys(jax.random.key(seed), len(levels)) for seed in (0, 1))
    result = estimator(noise_keys, keys, denoiser, levels)
    results = {
        key: np.asarray(value).reshape(8, repeats) for key, value in result._asdict().items()
    }
    results["seconds"] = np.ones(1)
    return results, lambda nats: np.asarray(estimator.bits_per_dim(nats, 2))


@pytest.mark.parametrize("name", ["uniform", "truncated_normal"])
def test_dequantized_passes_bound_the_probability_and_together_reach_it(name, denoiser):
    dequantizer = (
        dequantization.UniformDequantizer()
        if name == "uniform"
        else dequantization.TruncatedNormalDequantizer(std=0.25, bin_range=(-1.0, 1.0))
    )
    results, to_bits = estimate(
        denoiser,
        256,
        ExactLikelihood(trace="exact", rtol=1e-4, atol=1e-4),
        dequantizer=dequantizer,
        bin_range=(-1.0, 1.0),
    )
    bits = -truth(LEVELS) / 2 / math.log(2)
    images = per_image(results, to_bits)
    assert images["bits_per_dim"].mean() > bits.mean() + 0.05
    together = summarize_importance(results, to_bits)
    assert together["importance_is_a_bound"]
    weight = np.exp(-2 * math.log(2) * (to_bits(results["nats"]) - bits[:, None]))
    relative = weight.std(axis=1) / 16  # of the mean of 256
    assert (abs(weight.mean(axis=1) - 1) < 4 * relative + 1e-3).all()
    error = 4 * np.sqrt(np.sum(relative**2)) / 8 / 2 / math.log(2) + 0.01
    assert together["importance_bits_per_dim"] == pytest.approx(bits.mean(), abs=error)
    summary = summarize(results, to_bits)
    assert summary["bits_per_dim"] > together["importance_bits_per_dim"] + 0.05
    assert summary["bits_per_dim"] == pytest.approx(images["bits_per_dim"].mean(), rel=1e-5)
    assert summary["standard_error_of_probes"] == 0 and summary["unfinished"] == 0
    assert summary["standard_error_of_dequantization"] > 0


def test_a_bound_of_levels_is_in_bits_of_the_discrete_image():
    """For levels uniform on the grid and the exact score, log2(levels) bits."""
    values = np.linspace(-1, 1, BINS)
    grid = np.array(list(itertools.product(values, repeat=2))).reshape(-1, 1, 2, 1)
    mixture = analytic.GaussianMixture(
        np.ones(len(grid)), grid, np.zeros((len(grid), 2, 2))
    ).denoiser(sdes.VP())
    bound = VDMBound(samples=64, repeats=8, t_min=1e-3)
    results, to_bits = estimate(mixture, 4, bound, level_range=(-1.0, 1.0))
    summary = summarize(results, to_bits)
    error = summary["standard_error_of_probes"]
    assert 0 < error < 0.1 and abs(summary["bits_per_dim"] - 2) < 4 * error


def test_a_likelihood_says_whether_it_is_of_a_density_or_of_levels():
    uniform, ends = dequantization.UniformDequantizer(), (-1.0, 1.0)
    with pytest.raises(UsageError, match=r"VDMBound is of the levels.*no dequantizer"):
        Estimator(likelihood=VDMBound(), bins=BINS, level_range=ends, dequantizer=uniform)
    with pytest.raises(UsageError, match=r"ScoreFlowBound is of a density.*a dequantizer"):
        Estimator(likelihood=ScoreFlowBound(), bins=BINS, bin_range=ends)
    with pytest.raises(UsageError, match=r"a function, is no JAX pytree: put @jax\.tree_util"):
        Estimator(
            likelihood=ScoreFlowBound(), bins=BINS, bin_range=ends, dequantizer=lambda *_: None
        )
