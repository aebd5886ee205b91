"""Variational dequantization: a flow that knows the image chooses the noise."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.condition import Condition
from scoresde.data import check_levels
from scoresde.dequantization.base import Dequantized, Dequantizer, into_bins
from scoresde.keys import sample_keys


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["params"], meta_fields=["network"]
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowDequantizer(Dequantizer):
    """u = sigmoid(flow(noise | image)), Ho et al. 2019, arXiv:1902.00275, section 3.1.

    The noise is standard logistic, whose sigmoid is uniform: a flow that does nothing, as one that
    is not trained yet nearly is, dequantizes uniformly.

    Attributes:
        network: `(params, noise [batch, ...], unit image [batch, ...], condition) ->
            (y [batch, ...], log absolute determinant of dy/dnoise [batch])`, such as
            `networks.DequantizerNetwork`.
        params: its parameters.
    """

    network: Any
    params: Any

    def __call__(
        self,
        key: Array,
        images: ArrayLike,
        bins: int,
        condition: Condition = None,
    ) -> Dequantized:
        check_levels(images, bins)
        images = jnp.asarray(images)
        keys = sample_keys(key, len(images))
        noise = jax.vmap(lambda key: jax.random.logistic(key, images.shape[1:]))(keys)
        unit = images.astype(jnp.float32) / (bins - 1)
        y, log_det = self.network(self.params, noise, unit, condition)
        log_q = _log_logistic(noise) - log_det - _log_logistic(y)
        return Dequantized(into_bins(images, jax.nn.sigmoid(y), bins), log_q)


def _log_logistic(x: Array) -> Array:
    """The log density of standard logistic noise, and log |d sigmoid / dx|: [batch]."""
    per_dim = jax.nn.log_sigmoid(x) + jax.nn.log_sigmoid(-x)
    return jnp.sum(jnp.reshape(per_dim, (-1, math.prod(x.shape[1:]))), axis=1)
