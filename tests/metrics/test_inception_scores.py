"""The Inception score: of probabilities where it is known, and as torch-fidelity has it."""

import numpy as np
import pytest
from golden_numbers import ARRAYS, NUMBERS, logits

from scoresde import metrics
from scoresde.registry import UsageError

CASES = {
    "splits10": (10, 2020),
    "splits10_noshuffle": (10, None),
    "splits1": (1, 2020),
    "splits7_shuffle_seed3": (7, 3),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("classes", [10, 1008])
def test_scores_are_those_of_torch_fidelity(name, classes):
    features = ARRAYS["logits10"] if classes == 10 else logits(300, 1008)
    found = metrics.inception_score(features, *CASES[name])
    expected = NUMBERS[f"isc_{classes}"][name]
    np.testing.assert_allclose(found.mean, expected["inception_score_mean"], rtol=1e-13)
    np.testing.assert_allclose(found.std, expected["inception_score_std"], atol=1e-13)


def test_certain_images_of_every_class_score_as_many_as_the_classes():
    certain = 1e4 * np.tile(np.eye(7), (20, 1))  # beyond what exp can take
    mean, std = metrics.inception_score(certain, splits=1)
    assert (mean, std) == (pytest.approx(7, rel=1e-12), 0)
    assert metrics.inception_score(certain[:, :6] * 0, splits=1).mean == pytest.approx(1)


def test_neither_the_order_within_a_split_nor_a_constant_changes_the_score():
    x = ARRAYS["logits10"].astype(np.float64)
    score = metrics.inception_score(x, 1, None).mean
    turned = np.random.default_rng(0).permutation(x) + 3.0
    assert metrics.inception_score(turned, 1, None).mean == pytest.approx(score, rel=1e-12)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"splits": 21}, "20 images cannot be split into 21"),
        ({"splits": 0}, "at least 1"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"logits": np.full((20, 3), np.nan)}, "Logits must be finite"),
        ({"logits": np.zeros((0, 3))}, "at least 1 rows"),
    ],
)
def test_what_has_no_score_is_refused(options, words):
    with pytest.raises(UsageError, match=words):
        metrics.inception_score(**{"logits": np.zeros((20, 3)), **options})
