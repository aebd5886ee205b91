"""How sure the mean over a data set is, and what the doubt comes from."""

from typing import NamedTuple

import numpy as np


class StandardError(NamedTuple):
    """The standard error of a mean over images, and its parts: total^2 is the sum of their squares.

    Attributes:
        total: from the spread over images; None with one image.
        probes: of the estimates of the trace or of the integral over time; None if unknown (a
            single probe says nothing about its error).
        dequantization: of the noise within the bins (and of the probes, where their part is
            unknown); None with one pass, which cannot tell it from the data.
        data: what is left: the images' own spread, which no computing reduces (and what is unknown
            of the other parts).
    """

    total: float | None
    probes: float | None
    dequantization: float | None
    data: float | None


def standard_error(values: np.ndarray, stderr: np.ndarray) -> StandardError:
    """Splits the error of mean(values) by a nested analysis of variance.

    Image i has a true value m_i, each pass r adds noise of dequantization and of the probes, and
    the probes' variance e_ir^2 is estimated for each. With n images and R passes

        total^2           = variance over i of the mean over r, / n
        probes^2          = sum of e_ir^2 / (n R)^2
        noise^2           = sum over i of the variance over r, / (n^2 R)
        dequantization^2  = noise^2 - probes^2
        data^2            = total^2 - probes^2 - dequantization^2,

    where a difference below zero, which chance allows, is taken as zero.

    Args:
        values: [images, passes].
        stderr: standard error of each value over its probes, [images, passes]; NaN if unknown.
    """
    values, stderr = np.asarray(values, np.float64), np.asarray(stderr, np.float64)
    images, passes = values.shape
    total = values.mean(axis=1).var(ddof=1) / images if images > 1 else None
    probes = None if np.isnan(stderr).any() else np.sum(stderr**2) / (images * passes) ** 2
    noise = values.var(axis=1, ddof=1).sum() / (images**2 * passes) if passes > 1 else None
    dequantization = None if noise is None else max(noise - (probes or 0.0), 0.0)
    data = None if total is None else max(total - (probes or 0.0) - (dequantization or 0.0), 0.0)
    return StandardError(
        *(None if v is None else float(np.sqrt(v)) for v in (total, probes, dequantization, data))
    )
