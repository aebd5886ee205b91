"""The features of FD-DINOv2."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from scoresde.metrics import dinov2
from scoresde.metrics.weight_files import found
from scoresde.plain import check_fields
from scoresde.registry import member


@dataclasses.dataclass(kw_only=True, eq=False)
class DINOv2Features:
    """The class token of DINOv2; see `metrics.dinov2`.

    Attributes:
        weights: the file of weights, or arrays by its names; None for that of ViT-L/14, which is
            looked for, and downloaded, by `metrics.dinov2.weights`.
        preprocess: a key of `metrics.dinov2.PREPROCESSES`.
        config: the network's sizes; those of ViT-L/14 if None.

    Raises:
        UsageError: an unknown preprocessing; no weights, or those of another network.
    """

    weights: Any = dataclasses.field(default=None, repr=False)
    preprocess: str = "dgm-eval"
    config: Mapping[str, Any] | None = None

    is_inception = False

    def __post_init__(self):
        check_fields(self)
        member("preprocessing", dinov2.PREPROCESSES, self.preprocess)
        config = dinov2.VIT_L14 if self.config is None else self.config
        source, record = found(dinov2.FILE, self.weights)
        self._params, self._config = dinov2.load(source), config
        dinov2.check(self._params, config)
        self.dim = config["hidden_size"]
        sizes = f"of {config['num_hidden_layers']} blocks and {self.dim} channels"
        self.name = f"DINOv2 {'ViT-L/14' if config == dinov2.VIT_L14 else sizes}"
        self.protocol = {"name": self.name, "resize": self.preprocess, **record}

    def __call__(self, images: Any) -> dict[str, jax.Array]:
        """The features of images, [n, dim].

        Raises:
            UsageError: see `metrics.dinov2.preprocess`.
        """
        pixels = dinov2.preprocess(images, self.preprocess)
        return {"features": dinov2.features(self._params, self._config, pixels)}
