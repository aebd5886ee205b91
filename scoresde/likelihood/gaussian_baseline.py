"""What a Gaussian with a full covariance would say: the floor a model has to beat."""

import numpy as np

from scoresde.registry import UsageError


def gaussian_log_prob(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """log density in nats, [m], of `test` under the Gaussian fitted to `train`.

    The maximum-likelihood fit: mean and covariance of the training data.

    Args:
        train: dequantized training data, [n, ...]; n must exceed the dimension.
        test: dequantized test data, [m, ...], in the same units.

    Raises:
        UsageError: too few training data, whose covariance is singular.
    """
    train = np.asarray(train, np.float64).reshape(len(train), -1)
    if len(train) <= train.shape[1]:
        raise UsageError(
            f"A Gaussian of {train.shape[1]} dimensions cannot be fitted to {len(train)} training "
            "images: leave the baseline out, or use more images than dimensions."
        )
    test = np.asarray(test, np.float64).reshape(len(test), -1)
    mean = train.mean(axis=0)
    covariance = np.cov(train.T, bias=True)
    _, log_det = np.linalg.slogdet(covariance)
    offset = test - mean
    square = np.sum(offset * np.linalg.solve(covariance, offset.T).T, axis=1)
    return -0.5 * (square + log_det + train.shape[1] * np.log(2 * np.pi))
