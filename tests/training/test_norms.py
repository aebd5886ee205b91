"""The global norm against NumPy, and the clipping by it against optax's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scoresde.training import norms

SHAPES = ((3, 3, 4, 5), (7, 6), (9,), (), (0,), (2, 0), (1, 1, 8, 2))


@pytest.fixture
def both_ways(monkeypatch):
    """A way to the norm of a tree on this machine, and as it is on GPUs."""

    def find(tree):
        here = norms.global_norm(tree)
        with monkeypatch.context() as patch:
            patch.setattr(norms, "_by_arrays", norms._by_rows)
            return here, norms.global_norm(tree)

    return find


def tree_of(dtypes):
    rng = np.random.default_rng(0)
    return {
        str(number): jnp.asarray(rng.normal(size=shape), dtypes[number % len(dtypes)])
        for number, shape in enumerate(SHAPES)
    }


@pytest.mark.parametrize("dtypes", [("float32",), ("bfloat16", "float32", "float16")])
def test_the_norm_is_the_root_of_the_sum_of_all_squares(both_ways, dtypes):
    tree = tree_of(dtypes)
    exact = np.sqrt(sum(np.sum(np.asarray(leaf, np.float64) ** 2) for leaf in tree.values()))
    for norm in both_ways(tree):
        assert norm.dtype == jnp.float32 and norm.shape == ()
        np.testing.assert_allclose(norm, exact, rtol=1e-6)


def test_the_norm_of_nothing_is_zero(both_ways):
    for tree in ({}, {"a": jnp.zeros((0, 3))}):
        assert [float(norm) for norm in both_ways(tree)] == [0, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_number_or_a_square_that_is_not_finite_shows(both_ways, value):
    tree = tree_of(("float32",))
    tree["0"] = tree["0"].at[1, 2, 3, 4].set(value)
    assert not np.isfinite(both_ways(tree)).any()


def test_gpus_sum_the_rows_of_each_array_and_then_all_at_once():
    trace = jax.jit(norms.global_norm).trace(tree_of(("float32",)))
    program = trace.lower(lowering_platforms=("cuda",)).as_text()
    assert program.count("optimization_barrier") == 1  # else XLA sums each array, as it would have
    assert "dimensions = [0, 1, 2, 3]" not in program
    assert "optimization_barrier" not in trace.lower(lowering_platforms=("cpu",)).as_text()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("largest, size", [(0.5, 1), (0.77, 1), (100.0, 1), (1e-20, 1e18)])
def test_clipping_is_that_of_optax(dtype, largest, size):
    gradient = jax.tree.map(lambda leaf: leaf * size, tree_of((dtype,)))
    ours, theirs = norms.clip_by_global_norm(largest), optax.clip_by_global_norm(largest)
    state = ours.init(gradient)
    assert state == theirs.init(gradient)  # or checkpoints would not fit
    found, after = ours.update(gradient, state)
    assert after == state
    wanted, _ = theirs.update(gradient, state)
    # Five roundings apart in float32; optax sums squares of 16 bits in these.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            *(np.asarray(leaf, np.float32) for leaf in (a, b)),
            rtol=3e-7 if dtype == "float32" else 1e-2,
        ),
        found,
        wanted,
    )
    assert jax.tree.map(lambda leaf: leaf.dtype, found) == jax.tree.map(
        lambda leaf: leaf.dtype, gradient
    )


def test_a_known_norm_is_that_of_these_very_arrays():
    tree = tree_of(("float32",))
    exact = norms.global_norm(tree)
    with norms.known(tree, jnp.float32(7)):
        assert norms.global_norm(dict(reversed(tree.items()))) == 7
        other = jax.tree.map(lambda leaf: leaf + 0, tree)
        for unknown in (other, {**tree, "more": jnp.zeros(1)}, {"0": tree["0"]}, [], {}):
            assert norms.global_norm(unknown) != 7
    assert norms.global_norm(tree) == exact
    with norms.known({}, jnp.float32(7)):
        assert norms.global_norm(tree) == exact
