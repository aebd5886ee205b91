"""What a multistep sampler remembers: the last values of a prediction, and where it is."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array


class History(NamedTuple):
    """The last K values of a prediction, newest first.

    Attributes:
        values: [K, batch, ...].
        nodes: where they were taken, [K]; in lambda or in t.
        taken: how many values there have been so far, as many as steps begun.
        steps: the number of steps of the run.
    """

    values: Array
    nodes: Array
    taken: Array
    steps: Array

    @classmethod
    def empty(cls, x: Array, size: int, steps: int | Array) -> "History":
        """Room for `size` values like x."""
        # Distinct nodes, far off: the weights of missing values are finite before they are dropped.
        nodes = -1e3 * jnp.arange(1.0, size + 1)
        return cls(jnp.zeros((size, *x.shape), x.dtype), nodes, jnp.int32(0), jnp.int32(steps))

    def push(self, value: Array, node: Array) -> "History":
        """With one more value; the oldest is forgotten."""
        return self._replace(
            values=jnp.roll(self.values, 1, axis=0).at[0].set(value),
            nodes=jnp.roll(self.nodes, 1).at[0].set(node),
            taken=self.taken + 1,
        )

    def order(self, largest: int, lower_at_the_end: bool | Array) -> Array:
        """The order of the present step: 1, 2, ... up to `largest`, as values are there for it.

        With `lower_at_the_end` it falls again to 1 in the last step.
        """
        order = jnp.minimum(self.taken, largest)
        left = self.steps - self.taken + 1  # the present step is one of them
        return jnp.where(lower_at_the_end, jnp.minimum(order, left), order)

    def combine(self, base: int, order: Array, weights: Sequence[Sequence[Array]]) -> Array:
        """Sum of weight_k (values_k - values_base), the weights being `weights[order]`.

        Its rows may be shorter than the history; what is missing has weight zero.
        """
        size, zero = len(self.nodes), jnp.zeros(())
        table = jnp.stack([jnp.stack([*row, *[zero] * (size - len(row))]) for row in weights])
        chosen = table[order].astype(self.values.dtype)
        return jnp.tensordot(chosen, self.values - self.values[base], 1)
