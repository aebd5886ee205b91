"""The Frechet distance of two Gaussians, by which FID and FD-DINOv2 are made of features.

    FD = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))

(Dowson and Landau 1982; FID: Heusel et al. 2017, eq. 6). With S = R R^T, from the eigenvectors of
each covariance, the trace of the root is the sum of the singular values of R1^T R2. No matrix root
is taken: where a covariance has fewer directions than numbers an image, roots are complex or off by
1e-4, and these singular values are right to 1e-13. Directions without variance (eigenvalues below
d eps times the largest) are left out, their rounded roots being as large as 1e-8 of the deviations.
"""

import dataclasses
from typing import Any

import numpy as np

from scoresde.metrics import moments
from scoresde.registry import UsageError, first_line, shown

ASYMMETRY = 1e-5
"""How far a covariance may be from symmetric, relative to its largest entry: float32's rounding."""

NEGATIVE = 1e-4
"""How far below zero its eigenvalues may be, relative to its largest: the same."""


@dataclasses.dataclass(frozen=True, eq=False)
class Factored:
    """A Gaussian, its covariance as R R^T.

    Attributes:
        mean: [d].
        root: R, [d, rank].
    """

    mean: np.ndarray
    root: np.ndarray

    def distance(self, other: "Factored") -> float:
        """The Frechet distance, which is squared already and at least 0.

        Raises:
            UsageError: the Gaussians have different lengths, or the distance overflows.
        """
        if len(self.mean) != len(other.mean):
            raise UsageError(
                f"The Gaussians must be of one kind, got {len(self.mean)} and {len(other.mean)} "
                "numbers an image."
            )
        cross = self.root.T @ other.root
        values = np.linalg.svd(cross, compute_uv=False) if cross.size else np.zeros(0)
        with np.errstate(over="ignore", invalid="ignore"):  # told of below
            apart = np.sum((self.mean - other.mean) ** 2)
            traces = np.sum(self.root**2) + np.sum(other.root**2)
            value = float(apart + traces - 2 * np.sum(values))
        if not np.isfinite(value):
            raise UsageError("The Frechet distance is too large for a number of 64 bits.")
        return max(value, 0.0)  # what is below is rounding

    def quick_distance(self, other: moments.Moments) -> float:
        """The distance from moments that are not factored, right to about 1e-4, in a quarter of the
        time: the singular values of R1^T R2 are the roots of the eigenvalues of R1^T S2 R1.
        """
        mean, covariance = other
        squares = np.linalg.eigvalsh(self.root.T @ covariance @ self.root)
        cross = np.sum(np.sqrt(np.maximum(squares, 0.0)))
        traces = np.sum(self.root**2) + np.trace(covariance)
        return float(np.sum((self.mean - mean) ** 2) + traces - 2 * cross)


def factored(mean: Any, covariance: Any, which: str = "") -> Factored:
    """A checked Gaussian.

    Args:
        mean: [d], or a number.
        covariance: [d, d], or a number.
        which: "1" or "2", for the error message.

    Raises:
        UsageError: other shapes, numbers that are not finite, or no covariance.
    """
    mean, covariance = check(mean, covariance, f"mu{which}", f"sigma{which}")
    values, vectors = np.linalg.eigh(covariance)
    largest = max(values[-1], 0.0)
    if values[0] < -NEGATIVE * largest or (values[-1] <= 0 and values[0] < 0):
        raise UsageError(
            f"sigma{which} is no covariance: its eigenvalues are from {values[0]:.3g} to "
            f"{values[-1]:.3g}, and none may be negative."
        )
    kept = values > len(values) * np.finfo(np.float64).eps * largest
    return Factored(mean, vectors[:, kept] * np.sqrt(values[kept]))


def of_features(features: np.ndarray) -> Factored:
    """The Gaussian fitted to checked features [n, d], n > 1.

    No more of them than d are a root of their covariance themselves.
    """
    if len(features) > features.shape[1]:
        return factored(*moments.of(features))
    mean = np.mean(features, axis=0, dtype=np.float64)
    return Factored(mean, (features - mean).T / np.sqrt(len(features) - 1))


def check(
    mean: Any, covariance: Any, of_mean: str = "mu", of_covariance: str = "sigma"
) -> tuple[np.ndarray, np.ndarray]:
    """A mean [d] and a covariance [d, d], in float64, the latter exactly symmetric.

    Args:
        mean: [d], or a number.
        covariance: [d, d], or a number.
        of_mean: what the mean is called, for the error message.
        of_covariance: what the covariance is called.

    Raises:
        UsageError: other shapes, numbers that are not finite, or a matrix that is not symmetric.
    """
    mean = np.atleast_1d(_numbers(mean, of_mean))
    covariance = np.atleast_2d(_numbers(covariance, of_covariance))
    if mean.ndim != 1 or not mean.size or covariance.shape != (len(mean), len(mean)):
        raise UsageError(
            f"{of_mean} must be [d] and {of_covariance} [d, d], got the shapes {mean.shape} and "
            f"{covariance.shape}."
        )
    largest, apart = np.abs(covariance).max(), np.abs(covariance - covariance.T).max()
    if apart > ASYMMETRY * largest:
        raise UsageError(
            f"{of_covariance} is no covariance: it is not symmetric, entries that should be equal "
            f"are {apart:.3g} apart."
        )
    return mean, covariance if apart == 0 else (covariance + covariance.T) / 2


def _numbers(value: Any, what: str) -> np.ndarray:
    try:
        array = np.asarray(value)
        if array.dtype.kind in "bcOSUMm":
            raise TypeError(f"it is of the type {array.dtype}")
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{what} must be an array of real numbers, not {shown(value)}: {first_line(error)}."
        ) from None
    if not np.isfinite(array).all():
        raise UsageError(f"{what} has NaN or infinity; look at the images and features it is of.")
    return array


def frechet(mu1: Any, sigma1: Any, mu2: Any, sigma2: Any) -> float:
    """The Frechet distance of two Gaussians; FID is that of Inception's features.

        metrics.frechet(*gen_moments, *ref_moments)

    Args:
        mu1: the mean of one, [d].
        sigma1: its covariance, [d, d].
        mu2: the mean of the other.
        sigma2: its covariance.

    Returns:
        The distance, squared as the formula has it; never negative.

    Raises:
        UsageError: shapes that do not fit, numbers that are not finite, no covariance.
    """
    first, second = factored(mu1, sigma1, "1"), factored(mu2, sigma2, "2")
    return first.distance(second)
