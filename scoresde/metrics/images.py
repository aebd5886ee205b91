"""What a feature extractor is given: 8-bit images, checked before anything is computed of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import channels, meshes
from scoresde.registry import UsageError, shown


def rgb(images: Any) -> jax.Array:
    """Images as extractors read them: 8 bits, three channels, on the device.

    Args:
        images: uint8, [n, height, width, channels] with 3 channels, or 1, which is repeated; an
            array of NumPy's or JAX's, which may be traced, or split over devices.

    Returns:
        uint8, [n, height, width, 3].

    Raises:
        UsageError: numbers of another type, or another shape.
    """
    if not isinstance(images, np.ndarray | jax.Array):
        raise UsageError(
            "Images are an array of NumPy's or JAX's, uint8 [n, height, width, channels], not "
            f"{shown(images)}."
        )
    dtype, shape = images.dtype, images.shape
    if dtype != np.uint8:
        raise UsageError(
            f"Images are uint8, 0 to 255, got {dtype}: numbers in [0, 1] become so by "
            "numpy.clip(255 * x + 0.5, 0, 255).astype('uint8'), those in [-1, 1] with 127.5 * x + "
            "128 in the place of 255 * x + 0.5."
        )
    if len(shape) != 4:
        more = {2: " Add axes, x[None, ..., None].", 3: " One is x[None], gray ones x[..., None]."}
        raise UsageError(
            f"Images are [n, height, width, channels], got {list(shape)}.{more.get(len(shape), '')}"
        )
    if shape[3] not in (1, 3):
        more = channels.hint(shape) or (" Drop alpha, x[..., :3]." if shape[3] == 4 else "")
        raise UsageError(f"Images have 3 channels, or 1, got {list(shape)}.{more}")
    if not shape[1] or not shape[2]:
        raise UsageError(f"Images have a height and a width, got {list(shape)}.")
    images = jnp.asarray(meshes.automatic(images))
    return images if shape[3] == 3 else jnp.repeat(images, 3, axis=3)
