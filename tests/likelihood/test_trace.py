"""Trace estimators on matrices, and how a likelihood is given one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.likelihood import TRACES, Exact, HutchPlusPlus, Rademacher
from scoresde.likelihood.trace import get, value_and_traces
from scoresde.registry import UsageError


@pytest.mark.parametrize("name", TRACES)
def test_estimates_of_a_matrix_are_its_trace_on_average(name, key):
    """And without error where the estimator is exact."""
    matrix, x = jax.random.normal(key, (6, 6)), jnp.arange(6.0).reshape(2, 3)
    trace = get(name, 4000)
    vectors = trace.draw(key, x.shape, x.dtype)
    value, estimates = value_and_traces(
        lambda x: (matrix @ x.ravel()).reshape(x.shape), x, vectors, trace
    )
    np.testing.assert_allclose(value.ravel(), matrix @ x.ravel(), rtol=1e-5)
    assert trace.exact == (name == "exact") and len(estimates) == (1 if trace.exact else 4000)
    error = 4.5 * estimates.std() / np.sqrt(len(estimates))
    assert abs(estimates.mean() - jnp.trace(matrix)) < error + 1e-5


def test_hutch_plus_plus_finds_the_dominant_directions(key):
    """A Jacobian of low rank is exact as soon as the sketch spans it."""
    factor = jax.random.normal(key, (2, 20))
    matrix = factor.T @ factor
    x, shape, trace = jnp.arange(20.0), (4, 5), HutchPlusPlus(probes=3)
    vectors = trace.draw(key, shape, jnp.float32)
    value, traces = value_and_traces(
        lambda x: (matrix @ x.ravel()).reshape(shape), x.reshape(shape), vectors, trace
    )
    assert traces.shape == (3,) and vectors.shape == (6, 4, 5)
    np.testing.assert_allclose(value.ravel(), matrix @ x, rtol=1e-5)
    np.testing.assert_allclose(traces, jnp.trace(matrix), rtol=1e-4)


def test_a_sketch_that_repeats_itself_leaves_no_direction_of_rounding():
    """Which a solver would see jump: by hand with the one direction that the sketch has."""
    matrix, sketch, *probes = np.split(
        np.random.default_rng(0).normal(size=(5, 9)), (5, 6, 7, 8), 1
    )
    vectors = np.concatenate([sketch, -sketch, sketch, *probes], axis=1).T
    product = functools.partial(jnp.matmul, matrix)
    estimates = HutchPlusPlus(probes=3).estimates(lambda rows: product(rows.T).T, vectors)
    direction = matrix @ sketch / np.linalg.norm(matrix @ sketch)
    within = (direction.T @ matrix @ direction).item()
    for probe, estimate in zip(probes, estimates, strict=True):
        rest = probe - direction * (direction.T @ probe)
        np.testing.assert_allclose(estimate, within + (rest.T @ matrix @ rest).item(), rtol=1e-4)


def test_an_exact_trace_of_many_dimensions_needs_little_memory(key):
    """300 products of a network whose activations are 8192 numbers; 10 MB if all are kept."""
    into, out = (jax.random.normal(k, (300, 8192)) / 100 for k in jax.random.split(key))

    def value_and_trace(x):
        vectors = Exact().draw(key, x.shape, x.dtype)
        return value_and_traces(lambda x: out @ jnp.tanh(x @ into), x, vectors, Exact())

    x = jnp.linspace(-1, 1, 300)
    compiled = jax.jit(value_and_trace).lower(x).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 6e6
    slope = 1 - np.tanh(x @ into) ** 2
    np.testing.assert_allclose(compiled(x)[1], np.sum(into * slope * out), rtol=1e-3)


def test_an_estimator_is_a_name_or_an_object():
    assert get("hutch++", 3) == HutchPlusPlus(probes=3) and get("exact", 3) == Exact()
    assert get(Rademacher(probes=2)) == Rademacher(probes=2)
    with pytest.raises(UsageError, match="has its own number of probes"):
        get(Rademacher(probes=2), 5)
    assert get("scoresde.likelihood.trace:Gaussian", 5) == TRACES["gaussian"](probes=5)


@pytest.mark.parametrize(
    "trace, probes, message",
    [
        ("hutch", 1, "Unknown trace estimator 'hutch'.*Did you mean 'hutch[+][+]'"),
        ("gaussian", 0, "at least 1"),
        ("rademacher", 2.5, "an integer"),
    ],
)
def test_unknown_names_and_impossible_numbers_of_probes_are_refused(trace, probes, message):
    with pytest.raises(UsageError, match=message):
        get(trace, probes)


def test_an_estimator_is_chosen_by_its_name_a_section_or_as_it_is():
    assert get({"name": "rademacher", "probes": 2}) == Rademacher(probes=2) == get("rademacher", 2)
    assert get(Rademacher(probes=2)) == Rademacher(probes=2)
    with pytest.raises(UsageError, match="given as a class"):
        get(Rademacher)
    with pytest.raises(UsageError, match="trace estimator must be a name"):
        get(3)
