"""The networks that are compared, and the batches they get, by the name of their size."""

import dataclasses
from typing import Any

from scoresde import load_config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """A config, what is changed in it, and how many images a case has at a time.

    Attributes:
        config: its name.
        changes: of config.network.
        settings: of anything else, by dotted names.
        train: batch of a training step.
        forward: batch of a network call, and of sampling.
        likelihood: batch of a likelihood.
    """

    config: str
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    train: int
    forward: int
    likelihood: int

    def load(self, dtype: str) -> Any:
        """The config, with the network computing in `dtype`."""
        config = load_config(self.config)
        config.update_from_flattened_dict(self.settings)
        with config.unlocked():
            smooth = {"init_scale": 0.02}  # as a trained network is; with 0 it would be a constant
            config.network.update({**self.changes, **smooth, "dtype": dtype})
        return config

    def times(self, factor: float) -> "Size":
        """The same with batches of so many times the size, of one image at least."""
        batches = {name: max(1, round(factor * getattr(self, name))) for name in BATCHES}
        return dataclasses.replace(self, **batches)


BATCHES = ("train", "forward", "likelihood")
_SMALL = {"nf": 32, "num_res_blocks": 2}
_CIFAR10 = {"train": 128, "forward": 128, "likelihood": 32}

SIZES = {
    "ddpmpp_small": Size(
        config="vp/cifar10_ddpmpp_continuous",
        changes=_SMALL,
        **{"train": 16, "forward": 16, "likelihood": 16},
    ),
    "ncsnpp_small": Size(
        config="ve/cifar10_ncsnpp_continuous",
        changes=_SMALL,
        **{"train": 16, "forward": 16, "likelihood": 16},
    ),
    "ddpmpp": Size(config="vp/cifar10_ddpmpp_continuous", **_CIFAR10),
    "ncsnpp": Size(config="ve/cifar10_ncsnpp_continuous", **_CIFAR10),
    "ddpmpp_deep": Size(config="vp/cifar10_ddpmpp_deep_continuous", **_CIFAR10),
}
