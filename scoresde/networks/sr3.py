"""SR3's U-Net (Saharia et al. 2021, arXiv:2104.07636), as the reimplementation of Janspiry has it.

Improved DDPM's trunk without scale and shift, one attention head, resampling by convolutions; the
noise level enters as sqrt(gamma) itself, in [0, 1], and its embedding is not activated before the
blocks add it. With the image of low resolution beside x, `condition_images={"observation": 3}`.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax

from scoresde.networks import embeddings, layers, options
from scoresde.networks.initializers import PYTORCH
from scoresde.networks.network import Network
from scoresde.networks.openai_unet import OpenAIUNet
from scoresde.registry import UsageError


class SR3UNet(OpenAIUNet, kw_only=True):
    """See `sr3_unet`."""

    called = "sr3_unet"

    def embed(
        self,
        noise_condition: jax.Array,
        labels: jax.Array | None,
        augment_labels: jax.Array | None,
        train: bool,
    ) -> jax.Array:
        """The embedding of noise levels [batch], as the blocks add it: [batch, features]."""
        options.labels_have_classes(self.called, labels, None)
        waves = embeddings.positional_embedding(
            noise_condition, self.model_channels, endpoint=False
        )
        dense = functools.partial(layers.Dense, kernel_init=PYTORCH, dtype=self.wide)
        return dense(self.model_channels)(nn.swish(dense(4 * self.model_channels)(waves)))


def sr3_unet(
    *,
    num_channels: int = 64,
    num_res_blocks: int = 3,
    channel_mult: Sequence[int] = (1, 2, 4, 8, 8),
    attention_resolutions: Sequence[int] = (16,),
    groups: int = 32,
    dropout: float = 0.2,
    outputs_per_channel: int = 1,
    dtype: str = "float32",
    remat: bool = False,
    attention_implementation: str = "xla",
) -> Network:
    """SR3's U-Net; the noise condition is sqrt(gamma), the time input "gamma" with power=1.

    Args:
        num_channels: channels at full resolution, before the multiplier.
        num_res_blocks: residual blocks a level on the way down (one more on the way up).
        channel_mult: multiplier of each level; each next level has half the size.
        attention_resolutions: heights of the feature maps that get self-attention.
        groups: of every normalization.
        dropout: rate in the residual blocks in training.
        outputs_per_channel: 2 for one that also predicts a variance.
        dtype: "float32", "bfloat16" or, with JAX's 64 bits, "float64".
        remat: whether to recompute residual blocks in the backward pass.
        attention_implementation: "xla", or "cudnn" with bfloat16 on NVIDIA GPUs.

    Raises:
        UsageError: an option out of range.
    """
    for name, value in (
        ("num_channels", num_channels),
        ("num_res_blocks", num_res_blocks),
        ("groups", groups),
        ("outputs_per_channel", outputs_per_channel),
    ):
        options.in_range("sr3_unet", name, value, 1, kind=int)
    options.in_range("sr3_unet", "dropout", dropout, 0, 1, kind=float)
    multipliers = options.numbers("sr3_unet", "channel_mult", channel_mult, least=1)
    if num_channels % groups or num_channels % 2 or num_channels < 4:
        raise UsageError(
            f"network 'sr3_unet': num_channels={num_channels} must be even, 4 or more, and divide "
            f"into groups={groups}."
        )
    return Network(
        SR3UNet(
            model_channels=num_channels,
            num_blocks=num_res_blocks,
            channel_mult=multipliers,
            attn_resolutions=options.numbers(
                "sr3_unet", "attention_resolutions", attention_resolutions
            ),
            num_heads=1,
            scale_shift=False,
            resample_in_blocks=False,
            groups=groups,
            dropout=dropout,
            outputs_per_channel=outputs_per_channel,
            dtype=options.compute_options("sr3_unet", dtype, attention_implementation),
            remat=remat,
            attention_implementation=attention_implementation,
        )
    )
