"""Precision, recall, density and coverage: whose nearest neighbors are among whom.

Around every point of a set is a ball that reaches to its k-th nearest neighbor in the set, itself
left out.

    precision   the share of generated points inside of some reference point's ball
    recall      the share of reference points inside of some generated point's ball
    density     the mean number of reference balls that a generated point is in, over k
    coverage    the share of reference points whose ball has a generated point in it

(Kynkaanniemi et al. 2019, eqs. 1-3; Naeem et al. 2020, eqs. 4-6.) Distances are computed in blocks,
in float64 and from the middle of the reference, |x|^2 + |y|^2 - 2 x.y, which rounding changes. What
is as close as that to a ball's surface is on it, as a copy of the neighbor that it reaches to is.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from scoresde.metrics import draws, feature_arrays
from scoresde.registry import UsageError, member

BLOCK = 2048
"""Rows of either set in a block of distances."""

RULES = {"prdc": -1, "torch_fidelity": 1}
"""Whether a point on a ball's surface is outside (-1) or inside of it, by whose rule that is."""


class PRDC(NamedTuple):
    """Precision, recall, density and coverage; all but density are in [0, 1]."""

    precision: float
    recall: float
    density: float
    coverage: float

    @property
    def f_score(self) -> float:
        """The harmonic mean of precision and recall; 0 where both are."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def prdc(gen: Any, ref: Any, k: int = 5, rule: str = "prdc") -> PRDC:
    """Precision, recall, density and coverage of generated features.

    Args:
        gen: generated features, [n, d], n > k.
        ref: reference features, [m, d], m > k.
        k: which neighbor the balls reach to; 5 with prdc, 3 with torch-fidelity as a rule.
        rule: "prdc": a point on a ball's surface is outside of it, as in that package;
            "torch_fidelity": it is inside, as there. They differ where points coincide.

    Raises:
        UsageError: features that do not compare, or no more of them than k.
    """
    k = draws.count(k, "k")
    side = member("rule of precision and recall", RULES, rule)
    gen, ref = feature_arrays.pair(gen, ref)
    center = np.mean(ref, axis=0, dtype=np.float64)
    of_gen, of_ref = (_squared_radii(x, k, center) for x in (gen, ref))

    in_ref_balls = np.zeros(len(gen), np.int64)
    in_some_gen_ball, covered = np.zeros((2, len(ref)), bool)
    for rows, x, x_norms in _blocks(gen, center):
        for columns, y, y_norms in _blocks(ref, center):
            squares, slack = _distances(x, x_norms, y, y_norms)
            squares -= side * slack  # inside, or outside, in any case
            inside = _inside(squares, of_ref[None, columns], side)
            in_ref_balls[rows] += inside.sum(axis=1)
            covered[columns] |= inside.any(axis=0)
            in_some_gen_ball[columns] |= _inside(squares, of_gen[rows, None], side).any(axis=0)
    return PRDC(
        precision=float(np.mean(in_ref_balls > 0)),
        recall=float(np.mean(in_some_gen_ball)),
        density=float(np.mean(in_ref_balls) / k),
        coverage=float(np.mean(covered)),
    )


def radii(features: Any, k: int) -> np.ndarray:
    """The distance of every row to its k-th nearest other row, [n].

    Args:
        features: [n, d], n > k.
        k: from 1 on.

    Raises:
        UsageError: no features, or no more of them than k.
    """
    features = feature_arrays.checked(features, "Features")
    k = draws.count(k, "k")
    center = np.mean(features, axis=0, dtype=np.float64)
    return np.sqrt(_squared_radii(features, k, center))


def _inside(squares: np.ndarray, radii: np.ndarray, side: int) -> np.ndarray:
    return squares <= radii if side > 0 else squares < radii


def _squared_radii(x: np.ndarray, k: int, center: np.ndarray) -> np.ndarray:
    """The squares of `radii`. Each block of distances is computed once, for both its sides."""
    if len(x) <= k:
        raise UsageError(
            f"{len(x)} images have no {k}-th neighbor among themselves: give a smaller k, or "
            "compute more features."
        )
    nearest = np.full((len(x), k), np.inf)
    for i, (rows, a, a_norms) in enumerate(_blocks(x, center)):
        for columns, b, b_norms in _blocks(x, center, i):
            squares, _ = _distances(a, a_norms, b, b_norms)
            if rows == columns:
                np.fill_diagonal(squares, np.inf)
            else:
                nearest[columns] = _smallest(nearest[columns], squares.T, k)
            nearest[rows] = _smallest(nearest[rows], squares, k)
    return nearest.max(axis=1)


def _smallest(nearest: np.ndarray, squares: np.ndarray, k: int) -> np.ndarray:
    """The k smallest in each row of two arrays side by side."""
    both = np.concatenate([nearest, squares], axis=1)
    both.partition(k - 1, axis=1)
    return both[:, :k]


def _blocks(x: np.ndarray, center: np.ndarray, first: int = 0) -> Iterator[tuple]:
    """Slices of rows, the rows from the center in float64, and their squared lengths."""
    for start in range(first * BLOCK, len(x), BLOCK):
        rows = slice(start, min(start + BLOCK, len(x)))
        block = x[rows] - center
        yield rows, block, np.einsum("ij,ij->i", block, block)


def _distances(x, x_norms, y, y_norms) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances, [n, m], at least 0, and what rounding may have done to each."""
    norms = x_norms[:, None] + y_norms
    squares = x @ y.T
    squares *= -2
    squares += norms
    np.maximum(squares, 0, out=squares)
    norms *= 4 * (x.shape[1] + 8) * np.finfo(np.float64).eps
    return squares, norms
