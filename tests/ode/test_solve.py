"""Adaptive solves: integrals along the solution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covering

from scoresde import ode
from scoresde.registry import UsageError

Y0 = np.array([[1.0, 0.5], [0.3, -2.0], [0.1, 0.2]])
END = 1.5
TOLERANCES = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def slopes(t, state, args):
    """dy/dt = -y, dq/dt = |y|^2, hence q = |y_0|^2 (1 - exp(-2 t)) / 2."""
    return -state[0], jnp.sum(state[0] ** 2)


def solve(rhs, y0=Y0, **options):
    y0 = jnp.asarray(y0)
    return ode.solve(rhs, (y0, jnp.zeros(len(y0))), 0.0, END, **TOLERANCES, **options)


STAGES = [("bosh3", 0), ("dopri5", 1), ("bs5", 1), ("dopri8", 4)]


@pytest.mark.parametrize("method, without_weight", covering(STAGES, STAGES[1:2]))
def test_integrals_are_evaluated_where_they_count_only(method, without_weight):
    evaluations = []

    def rhs(t, state, args, weighted):
        def counted():
            jax.debug.callback(lambda: evaluations.append(1))
            return slopes(t, state, args)

        return jax.lax.cond(weighted, counted, lambda: (-state[0], 1e6))

    (y, q), stats = solve(rhs, method=method, integrals=True)
    jax.effects_barrier()
    joint, joint_stats = solve(slopes, method=method)
    np.testing.assert_array_equal(stats.steps, joint_stats.steps)
    np.testing.assert_allclose(y, joint[0], rtol=1e-7)
    np.testing.assert_allclose(q, joint[1], rtol=1e-7)
    np.testing.assert_allclose(q, np.sum(Y0**2, axis=1) * -np.expm1(-2 * END) / 2, rtol=1e-3)

    # Three up to the first step's first stage; then all samples go along while one is at work.
    stages = ode.METHODS[method].tableau.num_stages - 1
    assert len(evaluations) == 3 + max(stats.steps) * (stages - without_weight)
    np.testing.assert_array_equal(stats.nfe, 3 + stats.steps * stages)


def test_stages_are_summed_at_full_precision():
    """A GPU or TPU would round the slopes to 10 or 8 bits otherwise, which no CPU shows."""

    def rhs(t, y, args, weighted):
        return slopes(t, y, args)

    lowered = jax.jit(lambda y0: solve(rhs, y0, integrals=True)[0]).lower(Y0).as_text()
    products = [line for line in lowered.splitlines() if "dot_general" in line]
    assert products and all("HIGHEST" in line for line in products)


def test_a_first_step_that_is_given_costs_no_evaluation():
    (y, _), stats = solve(slopes, first_step=0.1)
    np.testing.assert_allclose(y, Y0 * np.exp(-END), rtol=1e-4)
    np.testing.assert_array_equal(stats.nfe, 1 + 6 * stats.steps)
    one_step, stats = ode.solve(
        lambda t, y, args: jnp.ones_like(y), jnp.asarray(Y0), 0.0, END, first_step=1.0
    )
    np.testing.assert_allclose(one_step, Y0 + END)
    assert stats.steps.tolist() == [1, 1, 1]


def test_integrals_have_no_intermediate_times():
    with pytest.raises(UsageError, match="save_times"):
        solve(slopes, integrals=True, save_times=jnp.array([0.5]))


def test_a_solve_does_not_call_the_host():
    """A program that did would not be kept in the compilation cache, and its call would wait."""
    lowered = jax.jit(lambda y0: solve(slopes, y0)).lower(Y0).as_text()
    assert "callback" not in lowered


@pytest.mark.parametrize("integrals", [False, True])
def test_a_slope_is_traced_once(integrals):
    """A network's tracing is what one waits for before a program from the cache."""
    traced, y0 = [], jnp.ones((2, 3))

    def rhs(t, y, args, weighted=None):
        traced.append(t)
        return jax.tree.map(jnp.negative, y)

    y0 = (y0, jnp.zeros((2, 1))) if integrals else y0
    jax.eval_shape(lambda y0: ode.solve(rhs, y0, 0.0, 1.0, integrals=integrals)[0], y0)
    assert len(traced) == 1
