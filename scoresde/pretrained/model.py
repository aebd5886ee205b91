"""A network with weights of another project, ready for use."""

import dataclasses
from typing import Any

import jax

from scoresde.denoiser import Denoiser
from scoresde.networks import Network
from scoresde.predictions import PredictionKind
from scoresde.registry import UsageError
from scoresde.sdes import SDE


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A trained network.

    Attributes:
        network: the network.
        params: its parameters.
        image_shape: (height, width, channels) of its images.
        prediction: how it is fed and read, None where that is not known here.
        sde: the process that its project describes it on, None where it is to be chosen.
    """

    network: Network
    params: Any
    image_shape: tuple[int, int, int]
    prediction: PredictionKind | None
    sde: SDE | None = None

    def apply(
        self,
        params: Any,
        x: jax.Array,
        noise_condition: jax.Array,
        labels: jax.Array | None = None,
    ) -> jax.Array:
        """The network's own output for its own inputs, images as [batch, height, width, channels].

        See `Network.apply`, whose condition "label" the labels are; `params` are usually
        `self.params`.

        Raises:
            UsageError: as `Network.apply`, for instance labels that are none of the classes.
        """
        condition = None if labels is None else {"label": labels}
        return self.network.apply(params, x, noise_condition, condition)

    def denoiser(self, sde: SDE | None = None) -> Denoiser:
        """The denoiser of this network for the process that it was trained on.

        Args:
            sde: the forward process, on data of the range that the network was trained with;
                `self.sde` if it is not given.

        Raises:
            UsageError: how to read the network's output is not known, or no process is.
        """
        if self.prediction is None:
            raise UsageError(
                "How to read this network's output is not known here; build scoresde.Denoiser with "
                "the prediction that it was trained for, its .network and its .params."
            )
        sde = self.sde if sde is None else sde
        if sde is None:
            raise UsageError("Which process is it? Give denoiser(sde), for instance sdes.VE().")
        return Denoiser(sde, self.prediction, self.network, self.params)
