"""How the Frechet distance depends on the number of generated images.

Its mean over n images is FD_infinity + c / n to first order, where c depends on the model: of two
models the one with the larger distance at one n may have the smaller one at another. FD_infinity
is where a line through distances of subsets, against 1/n, meets 1/n = 0 (Chong and Forsyth 2020,
sec. 3). The reference's own number of images adds another bias, which stays.
"""

from typing import Any, NamedTuple

import numpy as np

from scoresde.metrics import draws, feature_arrays, gaussians, moments
from scoresde.registry import UsageError, shown


class FDInfinity(NamedTuple):
    """A Frechet distance of endlessly many generated images.

    Attributes:
        value: the line's value where 1/n = 0; it may be below 0, as an estimate.
        slope: c, so that the distance of n images is about value + slope / n.
        sizes: the numbers of images, [points].
        distances: their distances, [points].
    """

    value: float
    slope: float
    sizes: np.ndarray
    distances: np.ndarray


def fd_infinity(
    gen: Any,
    ref: Any,
    sizes: Any = None,
    seed_or_indices: Any = 0,
) -> FDInfinity:
    """The Frechet distance, extrapolated to endlessly many generated images.

    Args:
        gen: generated features, [n, d].
        ref: `Moments`, or a pair (mean [d], covariance [d, d]), or reference features [m, d].
        sizes: numbers of images, two different ones at least, from 2 to n; by default 15 evenly
            from 5000, or n // 10 where that is less, to n.
        seed_or_indices: an integer, for subsets without replacement, each by itself; None for the
            first rows; or their rows, an array of each or all of them one after the other.

    Raises:
        UsageError: features or Gaussians that do not compare, sizes that cannot be, or rows that
            are not there.
    """
    gen = feature_arrays.checked(gen, "The generated features", least=2)
    reference = _reference(ref, gen.shape[1])
    given = draws.are_rows(seed_or_indices)
    if sizes is None and given and _apart(seed_or_indices):
        sizes = [len(rows) for rows in seed_or_indices]
    sizes = _sizes(sizes, len(gen))
    if given:
        subsets = _given(seed_or_indices, sizes, len(gen))
    elif seed_or_indices is None:
        subsets = [slice(size) for size in sizes]
    else:
        rng = draws.generator(seed_or_indices)
        subsets = (rng.choice(len(gen), size, replace=False) for size in sizes)
    moments.warn_of_few(int(sizes.min()), gen.shape[1], stacklevel=3)
    distances = np.array([gaussians.of_features(gen[r]).distance(reference) for r in subsets])
    value, slope = line(sizes, distances)
    return FDInfinity(value, slope, sizes, distances)


def line(sizes: np.ndarray, distances: np.ndarray) -> tuple[float, float]:
    """The least-squares line in 1/n: its value at 0, and its slope."""
    design = np.stack([np.ones(len(sizes)), 1 / np.asarray(sizes, np.float64)], axis=1)
    value, slope = np.linalg.lstsq(design, distances, rcond=None)[0]
    return float(value), float(slope)


def frechet_bootstrap(gen: Any, ref: Any, rounds: int = 20, seed: int = 0) -> float:
    """The standard error of a Frechet distance by the choice of its generated images.

    The standard deviation, with rounds - 1, over sets of as many images that are drawn from the
    generated ones with replacement (Efron 1979). The reference stays as it is. A distance of such a
    set is itself larger than that of the set, by about as much as that is biased: only the
    spread is of use.

    Args:
        gen: generated features, [n, d].
        ref: as for `fd_infinity`.
        rounds: how many sets, at least 2. A standard error of 20 is known to a sixth.
        seed: of numpy.random.RandomState.

    Raises:
        UsageError: features or Gaussians that do not compare, or such an option.
    """
    gen = feature_arrays.checked(gen, "The generated features", least=2)
    rounds = draws.count(rounds, "The number of rounds", 2)
    reference, rng, n = _reference(ref, gen.shape[1]), draws.generator(seed), len(gen)
    sets = (gen[rng.randint(0, n, n)] for _ in range(rounds))
    distances = [reference.quick_distance(moments.of(chosen)) for chosen in sets]
    return float(np.std(distances, ddof=1))


def _reference(ref: Any, length: int) -> gaussians.Factored:
    """The reference's Gaussian, of features of this length."""
    if isinstance(ref, moments.Moments) or (isinstance(ref, tuple | list) and len(ref) == 2):
        gaussian = gaussians.factored(*ref)
    else:
        gaussian = gaussians.of_features(feature_arrays.checked(ref, "The reference features", 2))
    if len(gaussian.mean) != length:
        raise UsageError(
            f"Generated and reference features must be of one kind, got {length} and "
            f"{len(gaussian.mean)} numbers an image."
        )
    return gaussian


def _sizes(sizes: Any, n: int) -> np.ndarray:
    """The numbers of images of the subsets."""
    if sizes is None:
        sizes = np.linspace(min(5000, max(n // 10, 2)), n, 15).astype(np.int64)
    try:
        found = np.asarray(sizes)
    except ValueError:  # lists within a list
        found = np.empty(0)
    fits = found.ndim == 1 and found.dtype.kind in "iu" and len(np.unique(found)) > 1
    if not fits or found.min() < 2 or found.max() > n:
        raise UsageError(
            f"Sizes must be integers from 2 to {n}, the number of generated features, at least "
            f"two different ones, got {shown(sizes if found.ndim != 1 else found.tolist())}."
        )
    return found.astype(np.int64)


def _apart(rows: Any) -> bool:
    """Whether the rows of every subset are an array of their own."""
    return len(rows) > 0 and hasattr(rows[0], "__len__") and getattr(rows[0], "ndim", 1) > 0


def _given(rows: Any, sizes: np.ndarray, n: int) -> list[np.ndarray]:
    """The subsets that are given by their rows."""
    if not _apart(rows):
        if len(rows) != sizes.sum():
            raise UsageError(
                f"Rows of subsets, one after the other, must be {sizes.sum()}, the sum of the "
                f"sizes, got {len(rows)}."
            )
        rows = np.split(np.asarray(rows), np.cumsum(sizes)[:-1])
    found = [draws.indices(subset, "the generated features", n, 1) for subset in rows]
    if [len(subset) for subset in found] != sizes.tolist():
        raise UsageError(
            f"Rows of subsets must be as many as the sizes have, {shown(sizes.tolist())}, got "
            f"{shown([len(subset) for subset in found])}."
        )
    return found
