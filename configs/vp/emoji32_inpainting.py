"""Inpainting of emoji under random boxes and strokes: minutes on a GPU, hours on a CPU.

The known pixels and the mask stand beside x; x itself has the known pixels without noise, and the
loss is of the others alone, as in Palette (arXiv:2111.05826, section 3).
"""

from scoresde.configs import datasets


def get_config():
    """The experiment."""
    config = datasets.conditional_emoji({"observation": 3, "mask": 1})
    config.data.condition_from = {"name": "inpainting", "masks": "mixed"}
    config.network.condition_known = True
    config.loss.unknown_only = True
    return config
