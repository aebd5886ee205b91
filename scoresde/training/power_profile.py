"""Averages whose memory grows with the run, and any of them from a few (arXiv:2312.02696).

The average of the parameters theta over a run of length t, with a weight that is a power of time,

    theta_gamma(t) = integral_0^t p(tau) theta(tau) dtau,
    p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1),

has a memory that is a fixed share of the run (section 3.1). Its length is the standard deviation of
p over t,

    length^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)),

0.05 and 0.10 in the paper. Training follows a few; any other is put together after the run, as the
sum of snapshots of theirs whose weights bring its profile nearest, in the least squares of
integral (p - sum_i x_i p_i)^2 (section 3.2).

Everything here is NumPy in float64: the matrix of snapshots of neighboring steps is nearly
singular.
"""

import math

import numpy as np

from scoresde.registry import UsageError

LONGEST = 1 / math.sqrt(12)
"""The length of the flat profile, gamma = 0."""


def check_length(length: float) -> None:
    """Raises UsageError unless there is a profile of this length that does not fall with time."""
    if not 0 < length <= LONGEST:
        raise UsageError(
            "The length of an average, the standard deviation of its profile as a share of the "
            f"run, lies above 0 and up to {math.floor(1e4 * LONGEST) / 1e4}, where all of the run "
            f"counts the same; got {length}."
        )


def exponent_of(length: float) -> float:
    """gamma of a profile of this length.

    Raises:
        UsageError: no such profile.
    """
    check_length(length)
    inverse = float(length) ** -2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return float(np.max(roots.real))


def length_of(exponent: float) -> float:
    """The length of the profile of this gamma > -1."""
    return math.sqrt((exponent + 1) / ((exponent + 2) ** 2 * (exponent + 3)))


def newest_weight(exponent: float, step: np.ndarray | int) -> np.ndarray:
    """1 - (1 - 1/n)^(gamma + 1), what the newest parameters count at the update n = `step`."""
    with np.errstate(divide="ignore"):
        return -np.expm1((exponent + 1) * np.log1p(-1.0 / np.asarray(step, np.float64)))


def products(
    steps: np.ndarray, exponents: np.ndarray, other_steps: np.ndarray, other_exponents: np.ndarray
) -> np.ndarray:
    """The integrals of the products of profiles, [n, m].

    Args:
        steps: t of each, [n].
        exponents: gamma of each, [n].
        other_steps: [m].
        other_exponents: [m].
    """
    t, u = np.asarray(steps, np.float64)[:, None], np.asarray(other_steps, np.float64)[None, :]
    g, h = (np.asarray(e, np.float64) for e in (exponents, other_exponents))
    g, h = g[:, None], h[None, :]
    # Of the two, the profile of the longer run is not whole within the shorter one.
    share = np.where(t < u, (t / u) ** h, (u / t) ** g)
    return (g + 1) * (h + 1) / (g + h + 1) * share / np.maximum(t, u)


def reconstruction(
    steps: np.ndarray, lengths: np.ndarray, step: float, length: float
) -> tuple[np.ndarray, float]:
    """The weights of snapshots in the average of another length.

    Args:
        steps: when each snapshot was taken, [n], positive.
        lengths: of the average that each is of, [n].
        step: when the average is wanted.
        length: of the average wanted.

    Returns:
        The weights [n], of sum 1, and the relative error of the profile that they make: the root of
        the integral of its square over that of the wanted profile.

    Raises:
        UsageError: no such profile, or no snapshots.
    """
    if len(steps) == 0:
        raise UsageError("There are no snapshots to put an average together from.")
    exponents = np.array([exponent_of(each) for each in lengths])
    wanted = np.array([step]), np.array([exponent_of(length)])
    gram = products(steps, exponents, steps, exponents)
    right = products(steps, exponents, *wanted)[:, 0]
    weights = np.linalg.solve(gram, right)
    weights /= weights.sum()
    norm = float(products(*wanted, *wanted)[0, 0])
    square = norm - 2 * weights @ right + weights @ gram @ weights
    return weights, math.sqrt(max(square, 0.0) / norm)
