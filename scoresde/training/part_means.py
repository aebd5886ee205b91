"""Means over parts of a batch, which few or no samples may be in.

A mean over a part is neither that over the devices nor that over the pieces of an accumulated batch
of their means. So it travels as the two sums that it is of, of which means may be taken, and is
divided when it is logged.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PartMeans:
    """A metric: the mean of each part, as its total and its weight.

    Attributes:
        total: sums of the values in each part over the batch's size, [parts].
        weight: of the samples in each part, the share of the batch, [parts].
    """

    total: Array
    weight: Array


def part_means(values: Array, part: Array, parts: int) -> PartMeans:
    """The means of `values` over the samples of each part.

    Args:
        values: [batch].
        part: of each sample, integers in 0 .. parts - 1, [batch].
        parts: their number.
    """
    within = part[:, None] == jnp.arange(parts)
    total = jnp.where(within, values[:, None], 0.0)  # not a product: nan stays in its own part
    return PartMeans(jnp.mean(total, axis=0), jnp.mean(within.astype(values.dtype), axis=0))


def scalars(metrics: Mapping[str, Any], i: int) -> dict[str, Any]:
    """What is logged of step number `i` of arrays [steps, ...].

    A `PartMeans` NAME gives NAME/1, NAME/2, ..., without the parts that no sample is in.
    """
    row = {}
    for name, value in metrics.items():
        if not isinstance(value, PartMeans):
            row[name] = value[i]
            continue
        for number, (total, weight) in enumerate(zip(value.total[i], value.weight[i]), start=1):
            if weight > 0:
                row[f"{name}/{number}"] = total / weight
    return row
