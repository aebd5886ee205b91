"""Measures by name: their numbers are the tools', their errors honest, their names right."""

import numpy as np
import pytest
from tiny_model import Pixels

from scoresde import metrics, quality
from scoresde.quality import FeatureSet, Number
from scoresde.registry import UsageError


class Inception(Pixels):
    """As far as names go."""

    name, is_inception = "Inception-v3", True


def features(seed, num, shift=0.0):
    rng = np.random.default_rng(seed)
    found = rng.normal(shift, 1, (num, 4)).astype(np.float32)
    return FeatureSet(name=f"set {seed}", features=found, logits=found[:, :2], protocol=None)


GENERATED, REFERENCE = features(0, 300, 0.2), features(1, 250)
NAMES = ["fd", "fd_infinity", "kid", "is", "precision", "recall", "density", "coverage"]


def test_the_numbers_are_those_of_the_metrics():
    chosen = quality.measures(NAMES, Pixels())
    numbers = quality.measure(chosen, GENERATED, REFERENCE)
    gen, ref = GENERATED.features, REFERENCE.features
    assert list(numbers) == NAMES
    assert numbers["fd"].value == metrics.frechet(*GENERATED.moments, *REFERENCE.moments)
    assert numbers["kid"].value == metrics.kid(gen, ref, 100, 125, 2020).mean
    assert numbers["is"].value == metrics.inception_score(gen[:, :2], 10, 2020).mean
    of_three, of_five = metrics.prdc(gen, ref, 3, "torch_fidelity"), metrics.prdc(gen, ref, 5)
    assert numbers["precision"].value == of_three.precision
    assert numbers["recall"].value == of_three.recall
    assert numbers["density"].value == of_five.density
    assert numbers["coverage"].value == of_five.coverage
    assert numbers["fd_infinity"].value < numbers["fd"].value


@pytest.mark.parametrize("name", ["fd", "kid"])
def test_errors_are_what_other_samples_would_give(name):
    """Of many sets of samples the spread is about the error that each is given."""
    chosen = quality.measures([name], Pixels())
    # Of 250 there are two disjoint halves, whose own spread says little: more of them.
    found = [
        quality.measure(chosen, features(seed, 250, 0.2), REFERENCE)[name] for seed in range(10, 40)
    ]
    spread = np.std([number.value for number in found], ddof=1)
    assert 0.5 * spread < np.mean([number.error for number in found]) < 2.5 * spread


def test_a_measure_that_gives_several_numbers_is_made_once(monkeypatch):
    calls = []
    monkeypatch.setattr(metrics, "prdc", lambda *a: calls.append(a) or metrics.PRDC(1, 2, 3, 4))
    chosen = quality.measures(["recall", "precision"], Pixels())
    numbers = quality.measure(chosen, GENERATED, REFERENCE)
    assert len(calls) == 1 and numbers == {"recall": Number(2), "precision": Number(1)}


def test_only_inception_has_a_fid():
    assert quality.label("fd", Inception()) == "FID"
    assert quality.label("kid", Inception()) == "KID"
    assert quality.label("fd", Pixels()) == "FD (pixels)"
    assert quality.label("precision", Inception()) == "precision (Inception-v3)"
    assert list(quality.measures(["fid"], Inception())) == ["fd"]
    with pytest.raises(UsageError, match="not of pixels: ask for fd"):
        quality.measures(["fid"], Pixels())
    with pytest.raises(UsageError, match="Unknown metric 'fdi'"):
        quality.measures(["fdi"], Pixels())


class Gap:
    """A measure of one's own."""

    def __call__(self, generated, reference):
        gap = generated.moments.mean[0] - reference.moments.mean[0]
        return {"gap": Number(float(gap))}


def test_a_measure_of_ones_own_is_reached_by_its_path():
    chosen = quality.measures([f"{__name__}:Gap", "fd"], Pixels())
    numbers = quality.measure(chosen, GENERATED, REFERENCE)
    assert list(numbers) == ["gap", "fd"] and abs(numbers["gap"].value - 0.2) < 0.3


def test_what_cannot_be_measured_is_refused_before():
    moments = FeatureSet(name="x.npz", given_moments=REFERENCE.moments)
    quality.check_possible(quality.measures(["fd"], Pixels()), Pixels(), moments)
    assert quality.measure(quality.measures(["fd"], Pixels()), GENERATED, moments)["fd"].value > 0
    for name in ("kid", "precision", "density"):
        with pytest.raises(UsageError, match=r"of x\.npz there are mean and covariance only"):
            quality.check_possible(quality.measures([name], Pixels()), Pixels(), moments)
    other = metrics.Moments(*REFERENCE.moments, protocol={"name": "others"})
    other = FeatureSet(name="x.npz", given_moments=other)
    with pytest.raises(UsageError, match="other features: name is"):
        quality.check_possible({}, Pixels(), other)
    longer = FeatureSet(name="y", features=np.eye(9, 5, dtype=np.float32))
    with pytest.raises(UsageError, match="4 and 5 numbers"):
        quality.check_possible({}, Pixels(), longer)


def test_too_few_images_are_refused_before_there_are_any():
    for name, least in {"fd_infinity": 3, "is": 10, "recall": 4, "coverage": 6}.items():
        chosen = quality.measures([name], Pixels())
        quality.check_possible(chosen, Pixels(), REFERENCE, least)
        quality.measure(chosen, GENERATED.first(least), REFERENCE)  # so many will do
        with pytest.raises(UsageError, match=f"{name} takes {least} images or more, and to be"):
            quality.check_possible(chosen, Pixels(), REFERENCE, least - 1)
    chosen = quality.measures(["is", "precision"], Pixels())
    with pytest.raises(UsageError, match=r"precision takes 4 .* of the reference there are 3"):
        quality.check_possible(chosen, Pixels(), REFERENCE.first(3), 20)


def test_a_score_of_classes_that_the_extractor_lacks_is_refused_before():
    chosen = quality.measures(["fd", "is"], Pixels())
    quality.check_possible(chosen, Pixels(), REFERENCE)
    made = FeatureSet(name="x", features=REFERENCE.features, protocol=Pixels().protocol)
    with pytest.raises(UsageError, match="leave `is` out"):
        quality.check_possible(chosen, Pixels(), made)


def test_the_nearest_is_the_nearest():
    gen, ref = GENERATED.features[:9], REFERENCE.features
    numbers, distances = quality.nearest(gen, ref)
    all_distances = np.linalg.norm(gen[:, None].astype(float) - ref, axis=2)
    np.testing.assert_array_equal(numbers, all_distances.argmin(axis=1))
    np.testing.assert_allclose(distances, all_distances.min(axis=1), atol=1e-6)
