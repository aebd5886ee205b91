"""A network in stages: where its parameters are, and the shapes in between."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from scoresde.networks.network import Network


class Stage(NamedTuple):
    """Submodules that run one after another and give feature maps of one size.

    Attributes:
        name: "embedding" (of vectors), "stem" (the first layer of the image), "down", "middle" (at
            the smallest size), "up", "output" (the last layer), or "other" (not called as modules).
        modules: how many submodules it has.
        shape: of the output with the most channels, without the batch.
        parameters: how many numbers it has.
    """

    name: str
    modules: int
    shape: tuple[int, ...]
    parameters: int


def _traced(network: Network, image_shape: tuple[int, int, int]) -> tuple[dict, dict]:
    """The parameters' shapes, and those that immediate submodules return, in order of execution."""
    outputs: dict[str, tuple[int, ...]] = {}

    def note(call, arguments, options, context):
        output = call(*arguments, **options)
        if context.method_name == "__call__" and len(context.module.path) == 1:
            outputs[context.module.path[0]] = output.shape[1:]
        return output

    with nn.intercept_methods(note):
        return network.parameter_shapes(image_shape), outputs


def stages(network: Network, image_shape: tuple[int, int, int]) -> list[Stage]:
    """The network's stages in order of execution; nothing is computed.

    Args:
        network: the network.
        image_shape: (height, width, channels).

    Raises:
        UsageError: the network cannot take images of this shape.
    """
    params, shapes = _traced(network, image_shape)
    maps = [name for name, shape in shapes.items() if len(shape) == 3]
    smallest = min((shapes[name][0] for name in maps), default=0)
    lowest = next((maps.index(name) for name in maps if shapes[name][0] == smallest), 0)

    def stage_of(name: str) -> tuple[str, tuple[int, ...]]:
        """A stage's name, and the size of its maps."""
        if name not in shapes:
            return "other", ()
        if name not in maps:
            return "embedding", ()
        if name in (maps[0], maps[-1]):
            return ("stem" if name == maps[0] else "output"), ()
        size = shapes[name][:2]
        if size[0] == smallest:
            return "middle", size
        return ("down" if maps.index(name) < lowest else "up"), size

    grouped: dict[tuple, list[str]] = {}
    for name in [*shapes, *(name for name in params if name not in shapes)]:
        grouped.setdefault(stage_of(name), []).append(name)
    return [
        Stage(
            name,
            len(members),
            max((shapes.get(member, ()) for member in members), key=lambda shape: shape[-1:]),
            sum(_count(params.get(member, {})) for member in members),
        )
        for (name, _), members in grouped.items()
    ]


def _count(tree: Mapping[str, Any]) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
