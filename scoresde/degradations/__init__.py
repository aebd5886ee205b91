"""Degradations: what a conditional network is told of an image, made of the image itself.

    small = degradations.get("super_resolution", factor=4, augmentation={})
    condition = small(key, x0)                   # {"observation": ..., "augmentation": ...}
    holes = degradations.get("inpainting", masks={"name": "strokes"})

A degradation is an observation (`scoresde.observations`), with random masks where it reads one, and
noise-conditioning augmentation where that is asked for. What it tells is what guidance by an
observation reads, so that a conditional network and guidance are used alike.
"""

from typing import Any

from scoresde import observations
from scoresde.degradations.augmentation import Augmentation
from scoresde.degradations.base import FILLS, Degradation
from scoresde.degradations.masks import MASKS, Boxes, MixedMasks, Strokes
from scoresde.plain import hints_of
from scoresde.registry import component, lookup

_OWN = ("masks", "fill", "augmentation", "told_as")


def get(name: str, *, data_range: tuple[float, float] | None = None, **options: Any) -> Degradation:
    """The degradation by the observation called `name`.

    Args:
        name: of `scoresde.observations.OBSERVATIONS`.
        data_range: (low, high), black and white in x, for observations that ask for it.
        **options: of the observation; masks, fill, augmentation and told_as are `Degradation`'s,
            the first by name or section of MASKS, augmentation a section of `Augmentation`.

    Raises:
        UsageError: an unknown name or option, or a value out of range.
    """
    own = {key: options.pop(key) for key in _OWN if key in options}
    kind = lookup("observation", observations.OBSERVATIONS, name)
    if data_range is not None and "data_range" in hints_of(kind):
        options.setdefault("data_range", tuple(data_range))
    observation = observations.get(name, **options)
    if own.get("masks") is not None:
        own["masks"] = component("masks", MASKS, own["masks"], object)
    elif "mask" in observation.reads:
        own["masks"] = Boxes()
    if own.get("augmentation") is not None:
        table = {"augmentation": Augmentation}
        section = {"name": "augmentation", **own["augmentation"]}
        own["augmentation"] = component("augmentation", table, section, Augmentation)
    return Degradation(observation=observation, **own)


__all__ = [
    "FILLS",
    "MASKS",
    "Augmentation",
    "Boxes",
    "Degradation",
    "MixedMasks",
    "Strokes",
    "get",
]
