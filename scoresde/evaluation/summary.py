"""From the results of an evaluation to the numbers that are reported."""

from collections.abc import Callable
from typing import Any

import numpy as np

from scoresde.evaluation.errors import standard_error
from scoresde.likelihood import importance_bound


def per_image(
    results: dict[str, np.ndarray], bits_per_dim: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """The means over passes, [n], and the passes themselves, [n, passes] ("..._of_pass").

    Args:
        results: nats, stderr, nfe and finished, each [n, passes].
        bits_per_dim: from nats to bits/dim, of arrays of any shape.
    """
    nats, stderr = results["nats"], results["stderr"]
    passes = nats.shape[1]
    mean_nats = nats.mean(axis=1)
    return {
        "nats": mean_nats,
        "stderr": np.sqrt(np.sum(stderr**2, axis=1)) / passes,
        "bits_per_dim": np.asarray(bits_per_dim(mean_nats)),
        "nfe": results["nfe"].mean(axis=1),
        "finished": results["finished"].all(axis=1),
        "nats_of_pass": nats,
        "stderr_of_pass": stderr,
        "nfe_of_pass": results["nfe"],
    }


def summarize(
    results: dict[str, np.ndarray], bits_per_dim: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Any]:
    """The mean in bits/dim, its standard error in parts, and the cost, as JSON can hold them.

    Args: as of `per_image`; with "seconds" of each batch.
    """
    nats = np.asarray(results["nats"], np.float64)
    bits = np.asarray(bits_per_dim(nats), np.float64)
    bits_per_nat = abs(float(bits_per_dim(np.float64(1.0)) - bits_per_dim(np.float64(0.0))))
    error = standard_error(bits, bits_per_nat * results["stderr"])
    nfe = results["nfe"].mean(axis=1)
    low, median, high = (float(q) for q in np.quantile(nfe, (0.05, 0.5, 0.95)))
    return {
        "bits_per_dim": float(bits.mean()),
        "standard_error": error.total,
        "standard_error_of_probes": error.probes,
        "standard_error_of_dequantization": error.dequantization,
        "standard_error_of_data": error.data,
        "images": len(bits),
        "passes": bits.shape[1],
        "nfe_mean": float(nfe.mean()),
        "nfe_quantiles": {"0.05": low, "0.5": median, "0.95": high},
        "nfe_max": int(results["nfe"].max()),
        "unfinished": int(np.sum(~results["finished"].all(axis=1))),
        "seconds": round(float(results["seconds"].sum()), 3),
    }


def summarize_importance(
    results: dict[str, np.ndarray], bits_per_dim: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Any]:
    """The bound of all passes together (arXiv:1509.00519), in bits/dim.

    It is a bound only if each pass is exact but for its dequantization: the exponential of an
    estimate that has noise of its own is too large on average.

    Args: as of `per_image`.
    """
    nats = np.asarray(importance_bound(results["nats"], axis=1), np.float64)
    bits = np.asarray(bits_per_dim(nats), np.float64)
    num = len(bits)
    return {
        "importance_bits_per_dim": float(bits.mean()),
        "importance_standard_error": float(bits.std(ddof=1) / num**0.5) if num > 1 else None,
        "importance_is_a_bound": bool(np.all(results["stderr"] == 0)),
    }


def summarize_baseline(bits: np.ndarray, baseline: np.ndarray) -> dict[str, Any]:
    """What a model gains over another one on the same images with the same noise.

    Args:
        bits: bits/dim of each image, [n].
        baseline: under the other model, a Gaussian fitted to the training images, [n].
    """
    gain, num = baseline - bits, len(bits)
    return {
        "gaussian_bits_per_dim": float(baseline.mean()),
        "gain_over_gaussian": float(gain.mean()),
        "gain_standard_error": float(gain.std(ddof=1) / num**0.5) if num > 1 else None,
    }
