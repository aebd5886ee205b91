"""The kernel distance of two sets of features, KID (Binkowski et al. 2018, sec. 4), in three ways.

The squared maximum mean discrepancy with the kernel k(x, y) = (x.y / d + 1)^3, unbiased (Gretton
et al. 2012, eq. 3, for sets of n and m):

    MMD^2 = sum_(i!=j) k(x_i, x_j) / (n (n-1)) + sum_(i!=j) k(y_i, y_j) / (m (m-1))
            - 2 sum_(i,j) k(x_i, y_j) / (n m)

Its mean is 0 for equal distributions, so that values below 0 are legitimate. What is reported
differs: `kid` averages over random subsets, as torch-fidelity; `kid_blocks` over consecutive
blocks, as TF-GAN and so score_sde; `kid_all` takes every pair once. All in float64.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from scoresde.metrics import draws, feature_arrays
from scoresde.registry import UsageError, shown

BLOCK = 2048
"""Rows of a part of a matrix of kernels."""


class KID(NamedTuple):
    """A kernel distance as the mean of several estimates.

    Attributes:
        mean: the mean of the estimates.
        std: their standard deviation, the sum of squares over their number, as torch-fidelity's:
            it says how far one subset is off, not how far the mean is.
        standard_error: of the mean, if the estimates were independent, with their number less one;
            NaN where there is one. Subsets of one set overlap, so it is rather too small.
    """

    mean: float
    std: float
    standard_error: float


def kid(
    gen: Any,
    ref: Any,
    subsets: int | None = None,
    size: int | None = None,
    seed_or_indices: Any = 2020,
) -> KID:
    """The mean over random subsets, each without replacement.

    With a seed they are torch-fidelity's: for each in turn, `size` rows of the generated features
    are drawn and then as many of the reference's, by numpy.random.RandomState(seed).choice.

    Args:
        gen: generated features, [n, d].
        ref: reference features, [m, d].
        subsets: how many; by default 100, or as the indices have it.
        size: rows of each; by default 1000, or as the indices have it.
        seed_or_indices: an integer; or (rows of gen, rows of ref), each [subsets, size].

    Raises:
        UsageError: features that do not compare, a set smaller than a subset, or rows that are not
            there.
    """
    gen, ref = feature_arrays.pair(gen, ref, least=2)
    if draws.are_rows(seed_or_indices):
        subsets, size, rows = _given(seed_or_indices, len(gen), len(ref), subsets, size)
    else:
        subsets = draws.count(100 if subsets is None else subsets, "The number of subsets")
        size = draws.count(1000 if size is None else size, "The size of a subset", 2)
        rng = draws.generator(seed_or_indices)
        if size > min(len(gen), len(ref)):
            raise UsageError(
                f"Subsets of {size} cannot be drawn from {len(gen)} generated and {len(ref)} "
                "reference features: give a smaller size, or compute more features."
            )
        rows = (
            (rng.choice(len(gen), size, replace=False), rng.choice(len(ref), size, replace=False))
            for _ in range(subsets)
        )
    return _summary([mmd2(gen[of_gen], ref[of_ref]) for of_gen, of_ref in rows])


def kid_blocks(gen: Any, ref: Any, block: int = 1024) -> KID:
    """The mean over consecutive blocks, in which every row is once, as TF-GAN's.

    The larger set is cut into as few blocks of at most `block` rows as it takes, the other one into
    as many; sizes differ by one at most, the larger ones last.

    Args:
        gen: generated features, [n, d].
        ref: reference features, [m, d].
        block: the most rows of a block.

    Raises:
        UsageError: features that do not compare, or too few of them for as many blocks.
    """
    gen, ref = feature_arrays.pair(gen, ref, least=2)
    block = draws.count(block, "The size of a block", 2)
    blocks = math.ceil(max(len(gen), len(ref)) / block)
    if min(len(gen), len(ref)) < 2 * blocks:
        raise UsageError(
            f"{blocks} blocks cannot be cut from {len(gen)} generated and {len(ref)} reference "
            "features with two or more in each: compute more features, or give a larger block."
        )
    of_gen, of_ref = (np.cumsum(_sizes(len(x), blocks))[:-1] for x in (gen, ref))
    pairs = zip(np.split(gen, of_gen), np.split(ref, of_ref))
    return _summary([mmd2(x, y) for x, y in pairs])


def kid_all(gen: Any, ref: Any) -> float:
    """One estimate of all rows, with every pair; memory does not grow with their number.

    Args:
        gen: generated features, [n, d].
        ref: reference features, [m, d].

    Raises:
        UsageError: features that do not compare.
    """
    return mmd2(*feature_arrays.pair(gen, ref, least=2))


def mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of the squared discrepancy between x [n, d] and y [m, d]."""
    n, m = len(x), len(y)
    within = _sum_within(x) / (n * (n - 1)) + _sum_within(y) / (m * (m - 1))
    between = sum(_kernels(a, b).sum() for a in _parts(x) for b in _parts(y))
    return float(within - 2 * between / (n * m))


def _sum_within(x: np.ndarray) -> float:
    """The sum of k(x_i, x_j) over all i != j; parts above the diagonal count twice."""
    total = 0.0
    for i, a in enumerate(_parts(x)):
        kernels = _kernels(a, a)
        total += kernels.sum() - np.trace(kernels)
        total += 2 * sum(_kernels(a, b).sum() for b in _parts(x, i + 1))
    return total


def _kernels(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    base = a @ b.T
    base /= a.shape[1]
    base += 1
    return base * base * base  # whose power of 3 takes NumPy ten times as long


def _parts(x: np.ndarray, first: int = 0):
    for start in range(first * BLOCK, len(x), BLOCK):
        yield x[start : start + BLOCK].astype(np.float64)


def _sizes(rows: int, blocks: int) -> list[int]:
    least, more = divmod(rows, blocks)
    return [least] * (blocks - more) + [least + 1] * more


def _summary(estimates: list[float]) -> KID:
    n = len(estimates)
    error = np.std(estimates, ddof=1) / math.sqrt(n) if n > 1 else math.nan
    return KID(float(np.mean(estimates)), float(np.std(estimates)), float(error))


def _given(rows: Any, of_gen: int, of_ref: int, subsets: Any, size: Any) -> tuple[int, int, list]:
    """The number and size of subsets that are given by their rows, and these rows."""
    if len(rows) != 2:
        raise UsageError(f"Rows of subsets are a pair, of gen and of ref, not {shown(rows)}.")
    gen_rows = draws.indices(rows[0], "the generated features", of_gen, 2)
    ref_rows = draws.indices(rows[1], "the reference features", of_ref, 2)
    shape = gen_rows.shape
    expected = tuple(s if g is None else g for g, s in zip((subsets, size), shape))
    if len(ref_rows) != shape[0] or shape != expected or min(shape[1], ref_rows.shape[1]) < 2:
        raise UsageError(
            f"The rows of gen and of ref must be of {expected[0]} subsets of {expected[1]}, at "
            f"least 2, got the shapes {shape} and {ref_rows.shape}."
        )
    return *shape, list(zip(gen_rows, ref_rows))
