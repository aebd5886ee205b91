"""A conditional flow over images: the network of variational dequantization.

Flow++ (Ho et al. 2019, arXiv:1902.00275, sections 3.1 to 3.3): the columns of the noise are split
like a checkerboard's into two halves, of which each in turn is moved by a map that the other half
and the image choose,

    moved -> logit(mixture of logistics' distribution function(moved)) * exp(a) + b,

between linear maps of the channels. Every map is monotonic in what it moves, so the flow has an
inverse; the log determinant is exact.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import initializers, layers, options
from scoresde.networks.call import call
from scoresde.networks.couplings import (
    Coupling,
    GatedConv,
    Mixing,
    merge_columns,
    split_columns,
)
from scoresde.registry import UsageError


class DequantizerFlow(nn.Module):
    """The flow, called as module(noise, image).

    See `dequantizer_network` for the options.
    """

    couplings: int
    filters: int
    blocks: int
    components: int
    context_channels: int
    context_blocks: int
    heads: int

    @nn.compact
    def __call__(self, noise: jax.Array, image: jax.Array) -> tuple[jax.Array, jax.Array]:
        if noise.shape[2] % 2:
            raise UsageError(
                f"The dequantizing flow splits columns in pairs: the width {noise.shape[2]} must "
                "be even."
            )
        context = jnp.concatenate(split_columns(2 * image - 1), axis=-1)
        context = layers.Conv(self.context_channels)(context)
        for _ in range(self.context_blocks):
            context = GatedConv()(context)
        halves = list(split_columns(noise))
        pixels = halves[0].shape[1] * halves[0].shape[2]
        log_det = jnp.zeros(len(noise))
        for number in range(self.couplings):
            for half in (0, 1):
                halves[half], per_pixel = Mixing()(halves[half])
                log_det += pixels * per_pixel
            moved = number % 2
            coupling = Coupling(self.filters, self.blocks, self.components, self.heads)
            halves[moved], change = coupling(halves[moved], halves[1 - moved], context)
            log_det += change
        return merge_columns(*halves), log_det


@dataclasses.dataclass(frozen=True)
class DequantizerNetwork:
    """The flow as two pure functions, init and apply; equal flows are equal and hash equally."""

    module: DequantizerFlow

    def init(self, key: jax.Array, image_shape: tuple[int, int, int]) -> Any:
        """Draws the parameters of a flow that is nearly the identity.

        Raises:
            UsageError: the flow cannot take images of this shape.
        """
        image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
        variables = jax.eval_shape(self.module.init, jax.random.key(0), image, image)
        noted, shapes = variables[initializers.INITIALIZERS], variables["params"]
        return jax.tree.map(jnp.asarray, initializers.draw(noted, shapes, jax.random.key_data(key)))

    def apply(
        self, params: Any, noise: jax.Array, image: jax.Array, condition: Any = None
    ) -> tuple[jax.Array, jax.Array]:
        """Moves noise. Returns it, and the log determinant of the map.

        Args:
            params: as returned by `init`.
            noise: [batch, height, width, channels].
            image: what the flow is conditioned on, in [0, 1], like noise.
            condition: not used: whatever else is known, the image says more.

        Returns:
            [batch, height, width, channels] and [batch], float32.

        Raises:
            UsageError: the parameters are of images of other channels, or of another flow.
        """
        del condition
        return call(self.module, params, noise, image)

    __call__ = apply


def dequantizer_network(
    *,
    couplings: int = 4,
    filters: int = 96,
    blocks: int = 2,
    components: int = 32,
    context_channels: int = 32,
    context_blocks: int = 3,
    heads: int = 4,
) -> DequantizerNetwork:
    """The flow of variational dequantization; by default of score_flow's size for CIFAR-10.

    Args:
        couplings: number of couplings, which move the two halves in turn.
        filters: channels of the network of each coupling.
        blocks: its number of gated convolutions (and attentions).
        components: of each mixture of logistics.
        context_channels: channels of what the network of the image tells each coupling.
        context_blocks: gated convolutions of that network.
        heads: heads of the attention; 0 for none.

    Raises:
        UsageError: an option out of range.
    """
    sizes = {
        "couplings": couplings,
        "filters": filters,
        "blocks": blocks,
        "components": components,
        "context_channels": context_channels,
    }
    for name, value in sizes.items():
        options.in_range("dequantizer", name, value, 1, kind=int)
    options.in_range("dequantizer", "context_blocks", context_blocks, 0, kind=int)
    options.in_range("dequantizer", "heads", heads, 0, kind=int)
    if heads and filters % heads:
        raise UsageError(f"network 'dequantizer': {heads} heads cannot share filters={filters}.")
    return DequantizerNetwork(DequantizerFlow(**sizes, context_blocks=context_blocks, heads=heads))
