"""A class-conditional model as a classifier: p(class | x) by Bayes, of log p(x | class) for each.

The log-densities of an image under all classes are estimated with the same noise in its bins and
the same probes, so that most of what is random cancels in their differences (as Li et al. 2023,
arXiv:2303.16203, have it for bounds).
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from scoresde.likelihood import importance_bound


def class_shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """p(class), [classes]: the shares of training labels, each class counted once more."""
    counts = np.bincount(labels, minlength=classes)[:classes] + 1.0
    return counts / counts.sum()


def class_posterior(nats: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """p(class | x), [n, classes].

    Args:
        nats: log p(x | class), [n, passes, classes]; passes are averaged as densities.
        shares: p(class), [classes].
    """
    nats = np.asarray(importance_bound(np.asarray(nats, np.float64), axis=1), np.float64)
    return np.asarray(jax.nn.softmax(nats + np.log(shares), axis=1), np.float64)


def summarize_classes(
    results: dict[str, np.ndarray],
    labels: np.ndarray,
    shares: np.ndarray,
    bits_per_dim: Callable[[np.ndarray], np.ndarray],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What likelihood.json says of the classes, and arrays an image for per_image.npz.

    Args:
        results: "class_nats" [n, passes, classes] and, of a network that also knows samples of no
            class, "no_class_nats" [n, passes].
        labels: of the images, [n].
        shares: p(class), [classes].
        bits_per_dim: from nats to bits/dim.
    """
    nats, num = np.asarray(results["class_nats"], np.float64), len(labels)
    posterior = class_posterior(nats, shares)
    # An image whose solver did not finish under some class is of none: argmax would say class 0.
    right = np.isfinite(posterior).all(axis=1) & (posterior.argmax(axis=1) == labels)
    # Of all classes together, p(x) = sum of p(class) p(x | class), pass by pass.
    mixed = np.asarray(jax.nn.logsumexp(nats + np.log(shares), axis=2), np.float64).mean(axis=1)
    own = posterior[np.arange(num), labels]
    summary = {
        "class_accuracy": float(right.mean()),
        "class_accuracy_standard_error": float((right.mean() * (1 - right.mean()) / num) ** 0.5),
        "class_log_loss": float(-np.log(np.maximum(own, 1e-300)).mean()),
        "class_shares": [float(share) for share in shares],
        "mixture_bits_per_dim": float(np.mean(bits_per_dim(mixed))),
    }
    arrays = {"class_nats": nats.mean(axis=1), "class_posterior": posterior, "labels": labels}
    if "no_class_nats" in results:
        without = np.asarray(results["no_class_nats"], np.float64).mean(axis=1)
        gain = np.asarray(bits_per_dim(without)) - np.asarray(
            bits_per_dim(nats[np.arange(num), :, labels].mean(axis=1))
        )
        summary |= {
            "no_class_bits_per_dim": float(np.mean(bits_per_dim(without))),
            "gain_of_class": float(gain.mean()),
            "gain_of_class_standard_error": float(gain.std(ddof=1) / num**0.5) if num > 1 else None,
        }
        arrays["no_class_nats"] = without
    return summary, arrays
