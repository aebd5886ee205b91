"""The features of FID, KID, precision and recall; the logits of the inception score."""

import dataclasses
from typing import Any

import jax

from scoresde.metrics import inception
from scoresde.metrics.weight_files import found
from scoresde.plain import check_fields
from scoresde.registry import member


@dataclasses.dataclass(kw_only=True, eq=False)
class InceptionFeatures:
    """The layer pool_3 and the logits without bias of Inception-v3; see `metrics.inception`.

    Attributes:
        weights: the file of weights, or arrays by its names; None for the published file, which is
            looked for, and downloaded, by `metrics.inception.weights`.
        resize: a key of `metrics.inception.RESIZES`: the program whose numbers these are to be.

    Raises:
        UsageError: an unknown resize; no weights, or those of another network.
    """

    weights: Any = dataclasses.field(default=None, repr=False)
    resize: str = "tf1"

    dim = 2048
    is_inception = True

    def __post_init__(self):
        check_fields(self)
        member("resize", inception.RESIZES, self.resize)
        source, record = found(inception.FILE, self.weights)
        self._params = inception.load(source)
        self.published = record["sha256"] == inception.FILE.sha256
        which = "TensorFlow graph of 2015-12-05"
        which = which if self.published else f"weights: {record['weights']}"
        self.name = f"Inception-v3 ({which})"
        self.protocol = {"name": self.name, "resize": self.resize, **record}

    def __call__(self, images: Any) -> dict[str, jax.Array]:
        """The features of images: [n, 2048] and logits [n, 1008].

        Raises:
            UsageError: see `metrics.inception.features`.
        """
        layers = inception.features(self._params, images, self.resize)
        return {"features": layers["2048"], "logits": layers["logits_unbiased"]}
