"""The Inception score (Salimans et al. 2016, sec. 4): exp of the mean KL of p(y|x) from p(y).

    IS = exp( mean_x sum_y p(y|x) (log p(y|x) - log p(y)) ),    p(y) = mean_x p(y|x)

It is computed within each of several splits, whose mean is reported. It grows with the rows of a
split: compare equal numbers of images and of splits.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np

from scoresde.metrics import draws, feature_arrays
from scoresde.registry import UsageError


class InceptionScore(NamedTuple):
    """An Inception score.

    Attributes:
        mean: over the splits.
        std: their standard deviation, the sum of squares over their number.
    """

    mean: float
    std: float


def inception_score(logits: Any, splits: int = 10, seed: int | None = 2020) -> InceptionScore:
    """The score of a set of images, by default torch-fidelity's.

    Split i of s has the rows i n // s up to (i + 1) n // s.

    Args:
        logits: [n, classes], the classifier's outputs, of torch-fidelity's without their bias.
        splits: how many; 1 is TF-GAN's score.
        seed: rows are shuffled by numpy.random.RandomState(seed).permutation; None leaves them in
            their order.

    Raises:
        UsageError: no such logits, or fewer of them than splits.
    """
    logits = feature_arrays.checked(logits, "Logits")
    splits = draws.count(splits, "The number of splits")
    if splits > len(logits):
        raise UsageError(f"{len(logits)} images cannot be split into {splits}: give fewer splits.")
    n = len(logits)
    order = np.arange(n) if seed is None else draws.generator(seed).permutation(n)
    bounds = [i * n // splits for i in range(splits + 1)]
    scores = [_score(logits[order[a:b]]) for a, b in itertools.pairwise(bounds)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def _score(logits: np.ndarray) -> float:
    log_p = logits.astype(np.float64)
    log_p -= log_p.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    marginal = p.mean(axis=0)
    # A class that no image has, to the last bit, adds 0 log 0 = 0.
    log_p -= np.log(np.where(marginal > 0, marginal, 1))
    return float(np.exp((p * log_p).sum(axis=1).mean()))
