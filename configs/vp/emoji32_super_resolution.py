"""Super-resolution of emoji, 16x16 to 32x32: minutes on a GPU, hours on a CPU.

The small image is bicubically enlarged and stands beside x, as in SR3 (arXiv:2104.07636). It is
noised at a random level, which the network is told (arXiv:2106.15282), so that it may be of a
sample of another model: `scoresde sample --workdir THIS --cascade BASE`.
"""

from scoresde.configs import datasets


def get_config():
    """The experiment."""
    config = datasets.conditional_emoji({"observation": 3, "augmentation": 1})
    config.data.condition_from = {
        "name": "super_resolution",
        "factor": 2,
        "augmentation": {"sde": "vp", "most": 0.3},
    }
    return config
