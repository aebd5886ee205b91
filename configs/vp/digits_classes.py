"""A small class-conditional DDPM++ (vp) on the handwritten digits: minutes on two cores.

One label in ten is dropped in training, so that the network also knows digits of no class, and
`scoresde sample --guidance cfg` guides it.
"""

from scoresde.configs.vp import digits


def get_config():
    """The experiment."""
    config = digits.get_config()
    config.data.labels = True
    config.network.update({"num_classes": 10, "label_dropout": 0.1})
    return config
