"""Precision, recall, density and coverage: by brute force, and as the published tools have them."""

import operator

import numpy as np
import pytest
from golden_numbers import ARRAYS, NUMBERS, sets

from scoresde import metrics
from scoresde.metrics import neighborhoods
from scoresde.registry import UsageError

INSIDE = {"prdc": operator.lt, "torch_fidelity": operator.le}


def by_brute_force(gen, ref, k, rule):
    def distances(a, b):
        return np.array([[np.sum((p - q) ** 2) for q in b] for p in a])

    def squared_radii(x):
        return np.sort(distances(x, x) + np.diag(np.full(len(x), np.inf)), axis=1)[:, k - 1]

    between = distances(gen, ref)
    in_ref_ball = INSIDE[rule](between, squared_radii(ref)[None])
    in_gen_ball = INSIDE[rule](between, squared_radii(gen)[:, None])
    return (
        in_ref_ball.any(axis=1).mean(),
        in_gen_ball.any(axis=0).mean(),
        in_ref_ball.sum(axis=1).mean() / k,
        in_ref_ball.any(axis=0).mean(),
    )


@pytest.mark.parametrize("rule", INSIDE)
@pytest.mark.parametrize("block", [3, 8, 100])
def test_the_shares_are_those_of_all_pairs_whatever_the_blocks(block, rule, monkeypatch):
    monkeypatch.setattr(neighborhoods, "BLOCK", block)
    rng = np.random.default_rng(0)
    for k in (1, 2, 10):
        gen, ref = rng.normal(size=(16, 3)), rng.normal(0.3, 1.2, size=(11, 3))
        expected = by_brute_force(gen, ref, k, rule)
        np.testing.assert_allclose(metrics.prdc(gen, ref, k, rule), expected, rtol=1e-12)


@pytest.mark.parametrize("rule", INSIDE)
@pytest.mark.parametrize("unit, offset", [(1 / 3, 0), (1, 1e6)])
def test_points_at_equal_distances_and_on_each_other_are_on_the_surface(rule, unit, offset):
    """Thirds are not exact in binary, sums of their squares in another order are not alike."""
    rng = np.random.default_rng(1)
    gen, ref = rng.integers(0, 3, (60, 6)), rng.integers(0, 3, (50, 6))
    for k in (1, 3, 5):
        expected = by_brute_force(gen, ref, k, rule)
        found = metrics.prdc(unit * gen + offset, unit * ref + offset, k, rule)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_copies_of_the_reference_are_covered_though_far_from_zero():
    x = np.random.default_rng(0).normal(size=(40, 500)) + 1e4
    assert metrics.prdc(x, x[::-1], 1)[:2] == (1, 1)
    assert metrics.prdc(x, x, 1).coverage == 1
    collapsed = np.repeat(x[:1], 40, axis=0)
    assert metrics.prdc(collapsed, x, 3, "torch_fidelity").recall == pytest.approx(1 / 40)
    assert metrics.prdc(collapsed, x, 3, "prdc").recall == 0  # its balls have no inside


@pytest.mark.parametrize("name", ["small", "big", "ties"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_rules_are_those_of_prdc_and_torch_fidelity(name, k):
    numbers = NUMBERS[name] if name == "ties" else NUMBERS[name]["prc"]
    if f"prdc_k{k}" not in numbers:
        return
    gen, ref = sets(name)
    expected = numbers[f"prdc_k{k}"]
    found = metrics.prdc(gen, ref, k)
    np.testing.assert_allclose([getattr(found, key) for key in expected], list(expected.values()))
    expected = numbers[f"torch_fidelity_k{k}_full"]  # in float32
    found = metrics.prdc(gen, ref, k, "torch_fidelity")
    values = [getattr(found, key) for key in expected]
    np.testing.assert_allclose(values, list(expected.values()), rtol=1e-7)


def test_precision_and_recall_swap_with_the_sets_and_order_does_not_matter():
    gen, ref = sets("small")
    found, swapped = metrics.prdc(gen, ref, 3), metrics.prdc(ref, gen, 3)
    assert found[:2] == swapped[1::-1]
    expected = NUMBERS["small"]["prc_swapped_roles_k3"]["prdc_k3"]
    np.testing.assert_allclose(swapped, list(expected.values()))
    shuffled = [np.random.default_rng(0).permutation(x) for x in (gen, ref)]
    np.testing.assert_allclose(metrics.prdc(*shuffled, 3), found, rtol=1e-12)


@pytest.mark.parametrize("name, k", [("gen", 3), ("ref", 3), ("ref", 5)])
def test_radii_reach_to_the_neighbor_that_is_not_the_point_itself(name, k):
    found = neighborhoods.radii(ARRAYS[name], k)
    np.testing.assert_allclose(found, ARRAYS[f"radii_{name}_k{k}"], rtol=1e-6)


def test_sets_apart_have_nothing_in_common():
    x = np.random.default_rng(0).normal(size=(30, 3))
    found = metrics.prdc(x + 100, x, 3)
    assert found == (0, 0, 0, 0)
    assert found.f_score == 0


@pytest.mark.parametrize(
    "options, words",
    [
        ({"k": 10}, "10 images have no 10-th neighbor"),
        ({"k": 0}, "k must be at least 1"),
        ({"rule": "adm"}, "Unknown rule of precision and recall 'adm'"),
        ({"ref": np.zeros((10, 4))}, "3 and 4 numbers"),
        ({"gen": np.full((10, 3), np.inf)}, "finite"),
    ],
)
def test_what_has_no_neighborhoods_is_refused(options, words):
    sets_alike = {"gen": np.zeros((10, 3)), "ref": np.zeros((12, 3)), "k": 2}
    with pytest.raises(UsageError, match=words):
        metrics.prdc(**{**sets_alike, **options})
