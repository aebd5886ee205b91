"""Runge-Kutta pairs: the conditions of their orders, and what they make of ripples."""

import numpy as np
import pytest

from scoresde.ode import METHODS

ORDERS = {"bosh3": (3, 2), "bs5": (5, 4), "dopri5": (5, 4), "tsit5": (5, 4)}


def coefficients(name):
    """A, the solution's weights, those of the other solution, and the nodes."""
    tableau = METHODS[name]().tableau
    rows = np.zeros((tableau.num_stages, tableau.num_stages))
    for i, row in enumerate(tableau.a_lower, start=1):
        rows[i, :i] = row
    nodes = np.concatenate([[0], tableau.c])
    return rows, tableau.b_sol, tableau.b_sol - tableau.b_error, nodes


def failures(a, b, c, order):
    """How far the weights are from the conditions of an order, one for each rooted tree."""
    ac = a @ c
    conditions = {
        1: [(np.ones_like(c), 1)],
        2: [(c, 1 / 2)],
        3: [(c**2, 1 / 3), (ac, 1 / 6)],
        4: [(c**3, 1 / 4), (c * ac, 1 / 8), (a @ c**2, 1 / 12), (a @ ac, 1 / 24)],
        5: [
            *[(c**4, 1 / 5), (c**2 * ac, 1 / 10), (c * (a @ c**2), 1 / 15)],
            *[(c * (a @ ac), 1 / 30), (ac**2, 1 / 20), (a @ c**3, 1 / 20)],
            *[(a @ (c * ac), 1 / 40), (a @ (a @ c**2), 1 / 60), (a @ (a @ ac), 1 / 120)],
        ],
    }
    return [abs(b @ tree - value) for tree, value in conditions[order]]


@pytest.mark.parametrize("name", ORDERS)
def test_both_solutions_have_their_orders_and_no_more(name):
    a, b, other, c = coefficients(name)
    np.testing.assert_allclose(a.sum(axis=1), c, atol=1e-14)
    np.testing.assert_allclose(a[-1], b, atol=1e-15)  # the last stage is the next step's first
    for weights, own in zip((b, other), ORDERS[name], strict=True):
        for order in range(1, own + 1):
            assert max(failures(a, weights, c, order)) < 1e-14
        assert own == 5 or max(failures(a, weights, c, own + 1)) > 1e-5


def test_ripples_are_followed_by_few_pairs():
    """n sum b^2 for n evaluations a step, as in the module's docstring."""
    noise = {}
    for name in METHODS:
        weights = METHODS[name]().tableau.b_sol
        noise[name] = (len(weights) - 1) * np.sum(weights**2)
    expected = {"bosh3": 1.074, "bs5": 1.826, "dopri5": 4.53, "tsit5": 110.2, "dopri8": 22.3}
    assert noise == pytest.approx(expected, rel=3e-3)
