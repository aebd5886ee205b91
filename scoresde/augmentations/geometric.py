"""EDM's non-leaky augmentation: flips and affine maps of images (arXiv:2206.00364, table 6)."""

import dataclasses
import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.augmentations.warp import warped
from scoresde.keys import sample_keys
from scoresde.plain import check_fields
from scoresde.registry import UsageError


class Drawn(NamedTuple):
    """What is done to an image, in the paper's letters; all 0 is nothing. Scalars, or [batch].

    Attributes:
        a0: 1 mirrors left and right.
        a1: 1 mirrors top and bottom.
        a2: scales by (2^0.2)^a2.
        a3: turns by this angle, counterclockwise.
        a4: the axis of the stretch, counterclockwise from the horizontal one.
        a5: stretches by (2^0.2)^a5 along that axis, and shrinks by as much across it.
        a6: moves to the right, by a6 / 8 of the width.
        a7: moves down, by a7 / 8 of the height.
    """

    a0: Array
    a1: Array
    a2: Array
    a3: Array
    a4: Array
    a5: Array
    a6: Array
    a7: Array

    @property
    def labels(self) -> Array:
        """What the network is told, [..., 9]; the angle by its cosine less 1 and its sine."""
        return jnp.stack(
            [
                *(self.a0, self.a1, self.a2),
                *(jnp.cos(self.a3) - 1, jnp.sin(self.a3)),
                *(self.a5 * jnp.cos(self.a4), self.a5 * jnp.sin(self.a4)),
                *(self.a6, self.a7),
            ],
            axis=-1,
        )


def _turned(angle: Array) -> Array:
    """The map that turns by an angle, counterclockwise as y points down."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.array([[cos, sin], [-sin, cos]])


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeometricAugmentation:
    """Flips, scale, rotation, anisotropy and translation, each of them at random or not at all.

    They are done in this order. Each is enabled by a coin of its own, with `probability`; then its
    parameters are drawn, a flip's 0 or 1 evenly. Mirroring left and right has a probability of its
    own, since EDM always draws it, in place of mirrored data: the network is told of it, and draws
    no mirrored image.

    The two labels of a stretch are those of the paper. They say a4 and a5 up to the sign of a5.

    Attributes:
        probability: that each is done, A_prob: 0.12 for EDM's CIFAR-10, 0.15 for FFHQ and AFHQv2.
        x_flip: that mirroring left and right is drawn.
        scale: log2 of A_scale, 0.2.
        anisotropy: log2 of A_aniso, 0.2.
        axis: that a stretch has an axis at random; else it is the horizontal one. The paper does
            not say it; the published models were trained with 0.5.
        translation: A_trans, 1/8 of an image.

    Raises:
        UsageError: a probability outside of [0, 1], a negative size, or when called, no images.
    """

    length: ClassVar[int] = 9

    probability: float = 0.12
    x_flip: float = 1.0
    scale: float = 0.2
    anisotropy: float = 0.2
    axis: float = 0.5
    translation: float = 0.125

    def __post_init__(self):
        check_fields(self)
        for name in ("probability", "x_flip", "axis"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be 0 .. 1, got {getattr(self, name)}.")
        for name in ("scale", "anisotropy", "translation"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be a number from 0 on, got {getattr(self, name)}.")

    def __call__(self, key: Array, x: Array) -> tuple[Array, Array]:
        """The images, augmented, and what was done to each.

        Args:
            key: one key, or one for each image [batch].
            x: images, [batch, height, width, channels].

        Returns:
            Images like x, and labels [batch, 9] for the condition "augment_labels".
        """
        if jnp.ndim(x) != 4:
            raise UsageError(
                "A geometric augmentation is of images [batch, height, width, channels], and not "
                f"of data {list(jnp.shape(x))}."
            )
        drawn = jax.vmap(self.draw)(sample_keys(key, len(x)))
        return jax.vmap(self.apply)(x, drawn), drawn.labels.astype(x.dtype)

    def draw(self, key: Array) -> Drawn:
        """What is done to one image, by its key."""
        coins, flips, scale, angle, axis, aside, stretch, shift = jax.random.split(key, 8)
        chances = jnp.array([self.x_flip, *[self.probability] * 5])
        on = jax.random.uniform(coins, (6,)) < chances
        mirrored = jax.random.bernoulli(flips, shape=(2,))
        turned = jax.random.bernoulli(aside, self.axis)
        moved = jax.random.normal(shift, (2,))
        values = (
            *(mirrored[0], mirrored[1], jax.random.normal(scale)),
            jax.random.uniform(angle, minval=-math.pi, maxval=math.pi),
            turned * jax.random.uniform(axis, minval=-math.pi, maxval=math.pi),
            *(jax.random.normal(stretch), moved[0], moved[1]),
        )
        switches = on[jnp.array([0, 1, 2, 3, 4, 4, 5, 5])]
        return Drawn(*jnp.where(switches, jnp.stack([v.astype(float) for v in values]), 0.0))

    def apply(self, x: Array, drawn: Drawn) -> Array:
        """One image [height, width, channels], changed as `drawn` says; exactly x if not at all."""
        x = jnp.where(drawn.a0 > 0, x[:, ::-1], x)
        x = jnp.where(drawn.a1 > 0, x[::-1], x)
        shift = self.translation * jnp.stack([drawn.a6 * x.shape[1], drawn.a7 * x.shape[0]])
        stays = jnp.all(jnp.stack(drawn[2:]) == 0)  # then not even rounding changes it
        return jnp.where(stays, x, warped(x, self.inverse(drawn), shift).astype(x.dtype))

    def inverse(self, drawn: Drawn) -> Array:
        """The inverse of the map of (x, y) that scales, turns and stretches, [2, 2]."""
        scale, stretch = jnp.exp2(self.scale * drawn.a2), jnp.exp2(self.anisotropy * drawn.a5)
        back = jnp.diag(jnp.stack([1 / stretch, stretch]))
        parts = _turned(-drawn.a3), _turned(drawn.a4), back, _turned(-drawn.a4)
        return jnp.linalg.multi_dot(parts, precision="highest") / scale
