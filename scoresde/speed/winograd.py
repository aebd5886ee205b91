"""Minimal filtering of 3x3 convolutions, F(2x2, 3x3): Winograd 1980; Lavin and Gray 2016, 4.1.

A tile d of 4x4 pixels and a kernel g give 2x2 pixels Y with 16 products instead of 36,

    Y = A^T [(G g G^T) (B^T d B)] A,

where the bracket multiplies entry by entry, over all channels: as many products of matrices. The
transforms are sums and halves: an entry's error is that of a sum of nine products, relative to the
largest number of its tile. A pixel of 1e4 times its neighbors' size leaves them errors of a
thousandth; what is not finite spoils its tile, and a sum may not be finite where the result would
be, within a hundredth of float32's largest number; and a kernel that is zero on one side has the
rounding of that side all the same. The feature maps of networks are not like that.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# A row of B^T is one pixel of the tile, plus or minus another.
_ONE = np.array([0, 1, 2, 1], np.int32)
_OTHER = np.array([2, 2, 1, 3], np.int32)
_SIGN = np.array([-1, 1, -1, -1], np.float32)
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)


@jax.jit  # traced once for all that are alike
def convolution(x: jax.Array, g: jax.Array) -> jax.Array:
    """The convolution of a map with zeros around it, stride 1.

    The rows of the tiles are taken one after another, in a loop: they share one piece of memory,
    and XLA fuses nothing of what is around the loop into all of its sums.

    Args:
        x: [batch, height, width, channels], height and width even.
        g: [3, 3, channels, features].

    Returns:
        [batch, height, width, features].
    """
    batch, height, width, channels = x.shape
    down, across = height // 2, width // 2
    padded = jnp.pad(x, ((0, 0), (1, 2), (1, 1), (0, 0)))  # and a row that no tile has

    def every_second_row(first: jax.Array) -> jax.Array:
        rows = lax.dynamic_slice_in_dim(padded, first, height, axis=1)
        return rows.reshape(batch, down, 2, width + 2, channels)[:, :, 0]

    def row(_: None, of_row: tuple[jax.Array, ...]) -> tuple[None, list[jax.Array]]:
        one, other, sign, weights = of_row
        d = every_second_row(one) + sign * every_second_row(other)
        d = d.reshape(batch, down, across + 1, 2, channels)
        d = _b_transposed(d[:, :, :-1, 0], d[:, :, :-1, 1], d[:, :, 1:, 0], d[:, :, 1:, 1])
        u = _g(*(weights[0] * g[0] + weights[1] * g[1] + weights[2] * g[2]))
        return None, _a_transposed(*(tiles @ kernel for tiles, kernel in zip(d, u)))

    _, (left, right) = lax.scan(row, None, (_ONE, _OTHER, _SIGN, _G.astype(x.dtype)))
    y = [jnp.stack(pair, axis=3) for pair in zip(_a_transposed(*left), _a_transposed(*right))]
    return jnp.stack(y, axis=2).reshape(batch, height, width, g.shape[-1])


def _b_transposed(d0, d1, d2, d3):
    return d0 - d2, d1 + d2, d2 - d1, d1 - d3


def _g(g0, g1, g2):
    outer, inner = (g0 + g2) / 2, g1 / 2
    return g0, outer + inner, outer - inner, g2


def _a_transposed(m0, m1, m2, m3):
    return m0 + m1 + m2, m1 - m2 - m3
