"""Codecs: the way of images, or other data, to x and back, as one object.

    codec = codecs.get("images", image_shape=source.image_shape, bins=source.bins, dequantize=True)
    x = codec.encode(key, images)   # [batch, *codec.shape], what the process and the network see
    images = codec.decode(x)        # exactly those again; of samples, the images they stand for

`CODECS` names them; `package.module:Name` reaches a class of your own, see `Codec`.
"""

from typing import Any

from scoresde.codecs.base import Codec
from scoresde.codecs.identity import IdentityCodec
from scoresde.codecs.images import ImageCodec
from scoresde.registry import make

CODECS = {
    "images": ImageCodec,
    "identity": IdentityCodec,
}
"""Codecs by name. Each is a JAX pytree, made of `image_shape`, `bins` and its own options."""


def get(name: str, **options: Any) -> Codec:
    """The codec called `name`, made with `options`.

    Raises:
        UsageError: an unknown name or option, a value out of range, or data it is not for.
    """
    return make("codec", CODECS, name, **options)


__all__ = ["CODECS", "Codec", "IdentityCodec", "ImageCodec", "get"]
