"""Networks that see images beside x: a condition of every network, by concatenation.

The images of a condition are brought to the size of x and stand behind it among the channels that
the network sees; its output is of x's channels alone. So SR3 and Palette do it (Saharia et al.
2021, arXiv:2104.07636, section 3; 2022, arXiv:2111.05826), and GLIDE with a mask among them
(arXiv:2112.10741). Parameters are those of the network itself, with a wider first layer.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from scoresde.networks import options
from scoresde.networks.network import Network, Params
from scoresde.registry import UsageError, shown

RESIZES = {"bicubic": "cubic", "bilinear": "linear", "nearest": "nearest"}
"""How smaller images are enlarged; centers of pixels are at halves."""


@dataclasses.dataclass(frozen=True)
class ConditionedNetwork(Network):
    """A network that sees images of the condition; `conditioned` makes one.

    Attributes:
        images: (name, channels) of each.
        resize: a key of RESIZES.
        known: whether x is replaced by the condition "observation" where "mask" is 1.
    """

    images: tuple[tuple[str, int], ...] = ()
    resize: str = "bicubic"
    known: bool = False

    def _inner(self, channels: int) -> Network:
        """The network of the concatenated channels, of which so many are x's."""
        return Network(self.module.clone(image_channels=channels))

    def _wide(self, image_shape):
        height, width, channels = image_shape
        return height, width, channels + sum(count for _, count in self.images)

    def init(self, key: jax.Array, image_shape: tuple[int, int, int]) -> Params:
        return self._inner(image_shape[-1]).init(key, self._wide(image_shape))

    def parameter_shapes(self, image_shape: tuple[int, int, int]) -> dict[str, Any]:
        return self._inner(image_shape[-1]).parameter_shapes(self._wide(image_shape))

    def apply(
        self,
        params: Params,
        x: jax.Array,
        noise_condition: jax.Array,
        condition: Mapping[str, Any] | None = None,
        *,
        train: bool = False,
        rng: jax.Array | None = None,
    ) -> jax.Array:
        """As `Network.apply`, of a condition with the images.

        They are [batch, height, width, channels] of x's size or smaller, without the last axis if
        it is one; numbers [batch] are images of that value everywhere.

        Raises:
            UsageError: as there, and an image that is not there or of another shape.
        """
        given = condition if isinstance(condition, Mapping) else {}
        images = {name: self._image(name, count, given, x) for name, count in self.images}
        if self.known:
            x = jnp.where(images["mask"] > 0.5, images["observation"], x)
        wide = jnp.concatenate([x, *images.values()], axis=-1)
        rest = {name: value for name, value in given.items() if name not in images}
        inner = self._inner(x.shape[-1])
        condition = rest if isinstance(condition, Mapping) else condition
        return inner.apply(params, wide, noise_condition, condition, train=train, rng=rng)

    __call__ = apply

    def _image(self, name, channels, condition, x):
        """The image called `name`, of the size of x."""
        value = condition.get(name)
        if value is None:
            raise UsageError(
                f"The network sees an image {name!r} beside x: give condition={{{name!r}: ...}}, "
                f"[{len(x)}, height, width, {channels}]."
            )
        value = jnp.asarray(value, x.dtype)
        if value.shape == (len(x),):
            return jnp.broadcast_to(value[:, None, None, None], (*x.shape[:-1], channels))
        if value.ndim == 3 and channels == 1:
            value = value[..., None]
        if value.ndim != 4 or value.shape[0] != len(x) or value.shape[-1] != channels:
            raise UsageError(
                f"The condition {name!r} must be images [{len(x)}, height, width, {channels}] for "
                f"x of shape {list(x.shape)}, and is of shape {list(value.shape)}."
            )
        if value.shape[1:3] == x.shape[1:3]:
            return value
        larger = value.shape[1] > x.shape[1] or value.shape[2] > x.shape[2]
        if larger or x.shape[1] * value.shape[2] != x.shape[2] * value.shape[1]:
            raise UsageError(
                f"The condition {name!r} of {value.shape[1]}x{value.shape[2]} pixels is no smaller "
                f"version of an image of {x.shape[1]}x{x.shape[2]}."
            )
        return jax.image.resize(value, (*x.shape[:-1], channels), RESIZES[self.resize])

    def condition_shapes(self, image_shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
        shapes = {name: (*image_shape[:2], count) for name, count in self.images}
        return super().condition_shapes(image_shape) | shapes

    @property
    def condition_names(self) -> set[str]:
        return super().condition_names | {name for name, _ in self.images}


def conditioned(
    network: Network,
    *,
    condition_images: Mapping[str, int] | None = None,
    condition_resize: str = "bicubic",
    condition_known: bool = False,
) -> Network:
    """The network, seeing images of the condition beside x; itself if there are none.

    Args:
        network: of `scoresde.networks.NETWORKS`.
        condition_images: channels of each image by its name in the condition, as
            {"observation": 3, "mask": 1}; numbers of a sample, as {"augmentation": 1}, are images
            of one value.
        condition_resize: how smaller images are enlarged, "bicubic", "bilinear" or "nearest".
        condition_known: replace x by "observation" where "mask" is 1, as Palette does, so that the
            network never sees noise there; its output there means nothing.

    Raises:
        UsageError: no such option, or a network that cannot see images beside x.
    """
    if not isinstance(condition_images, Mapping | None):
        raise UsageError(
            "condition_images are the channels of each image by its name, as {'observation': 3}, "
            f"not {shown(condition_images)}."
        )
    options.one_of("condition_images", "condition_resize", condition_resize, RESIZES)
    if not condition_images:
        if condition_known:
            raise UsageError("condition_known is of the condition_images observation and mask.")
        return network
    for name, count in condition_images.items():
        options.in_range("condition_images", name, count, 1, kind=int)
    if condition_known and not {"observation", "mask"} <= set(condition_images):
        raise UsageError("condition_known needs the condition_images observation and mask.")
    module = getattr(network, "module", None)
    if not isinstance(network, Network) or not hasattr(module, "image_channels"):
        raise UsageError(
            f"A {type(module or network).__name__} cannot see condition_images beside x: a module "
            "that can has an attribute image_channels."
        )
    images = tuple(sorted(condition_images.items()))
    return ConditionedNetwork(module, images, condition_resize, bool(condition_known))
