"""The U-Nets of improved DDPM and of ADM, with every switch that their released models use.

Nichol and Dhariwal 2021 (arXiv:2102.09672) and Dhariwal and Nichol 2021 (arXiv:2105.05233): the
network of `adm.adm` with 32 groups in every normalization, as many heads as are asked for, and
blocks without scale and shift or without resampling where those are switched off.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import options
from scoresde.networks.adm import ADM
from scoresde.networks.network import Network
from scoresde.registry import UsageError

GROUPS = 32
"""Of every normalization, whatever the width."""


class OpenAIUNet(ADM, kw_only=True):
    """See `openai_unet`."""

    called = "openai_unet"

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        noise_condition: jax.Array,
        labels: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> jax.Array:
        """Maps x [batch, height, width, channels], noise_condition [batch] to the outputs."""
        embedding = self.embed(noise_condition, labels, None, train)
        return self.unet(x, embedding, self.outputs(x), train)


class SuperResolutionUNet(ADM, kw_only=True):
    """See `super_resolution_unet`.

    Attributes:
        factor: the size of x over that of the low resolution.
    """

    called = "super_resolution_unet"

    factor: int = 4

    def condition_shapes(self, image_shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
        """The shape of the image of low resolution, without the batch."""
        height, width, channels = image_shape
        return {"low_resolution": (height // self.factor, width // self.factor, channels)}

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        noise_condition: jax.Array,
        labels: jax.Array | None = None,
        *,
        train: bool = False,
        low_resolution: jax.Array | None = None,
    ) -> jax.Array:
        """Maps x and low_resolution [batch, height / factor, width / factor, channels]."""
        expected = len(x), *self.condition_shapes(x.shape[1:])["low_resolution"]
        if low_resolution is None and self.is_initializing():
            low_resolution = jnp.zeros(expected, x.dtype)
        given = "nothing" if low_resolution is None else list(jnp.shape(low_resolution))
        if given != list(expected):
            raise UsageError(
                f"network {self.called!r}: the condition 'low_resolution' must be the images at "
                f"1/{self.factor} of the size, {list(expected)} for x of shape {list(x.shape)}, "
                f"and is {given}."
            )
        # Half-pixel centers, PyTorch's align_corners=False.
        large = jax.image.resize(jnp.asarray(low_resolution, x.dtype), x.shape, "bilinear")
        known = jnp.concatenate([x, large], axis=-1)
        embedding = self.embed(noise_condition, labels, None, train)
        return self.unet(known, embedding, self.outputs(x), train)


def trunk_options(
    network: str,
    *,
    num_channels: int,
    num_res_blocks: int,
    channel_mult: Sequence[float],
    attention_resolutions: Sequence[int],
    num_heads: int | None,
    num_head_channels: int | None,
    use_scale_shift_norm: bool,
    resblock_updown: bool,
    conv_resample: bool,
    dropout: float,
    dtype: str,
    remat: bool,
    attention_implementation: str,
) -> dict[str, Any]:
    """Options of the published networks as those of `adm_trunk.TrunkADM`, checked.

    Raises:
        UsageError: an option out of range, or options that contradict each other.
    """
    options.in_range(network, "num_channels", num_channels, 2, kind=int)
    options.in_range(network, "num_res_blocks", num_res_blocks, 1, kind=int)
    options.in_range(network, "dropout", dropout, 0, 1, kind=float)
    multipliers = options.numbers(network, "channel_mult", channel_mult, kind=float, least=1)
    if (num_heads is None) == (num_head_channels is None):
        raise UsageError(
            f"network {network!r}: give one of num_heads and num_head_channels, not "
            f"num_heads={num_heads} and num_head_channels={num_head_channels}."
        )
    name = "num_heads" if num_head_channels is None else "num_head_channels"
    share = options.in_range(network, name, num_heads or num_head_channels, 1, kind=int)
    widths = {int(num_channels * multiplier) for multiplier in multipliers}
    for width in sorted(widths):
        if width == 0 or width % GROUPS or width % share:
            raise UsageError(
                f"network {network!r}: levels of {width} channels (num_channels times "
                f"channel_mult) must divide into {GROUPS} groups and by {name}={share}."
            )
    return {
        "model_channels": num_channels,
        "num_blocks": num_res_blocks,
        "channel_mult": multipliers,
        "attn_resolutions": options.numbers(
            network, "attention_resolutions", attention_resolutions
        ),
        "num_heads": num_heads,
        "channels_per_head": num_head_channels or 1,
        "scale_shift": use_scale_shift_norm,
        "resample_in_blocks": resblock_updown,
        "conv_resample": conv_resample,
        "groups": GROUPS,
        "dropout": dropout,
        "dtype": options.compute_options(network, dtype, attention_implementation),
        "remat": remat,
        "attention_implementation": attention_implementation,
    }


def openai_unet(
    *,
    num_channels: int = 128,
    num_res_blocks: int = 2,
    channel_mult: Sequence[float] = (1, 2, 3, 4),
    attention_resolutions: Sequence[int] = (16, 8),
    num_heads: int | None = None,
    num_head_channels: int | None = None,
    use_scale_shift_norm: bool = True,
    resblock_updown: bool = False,
    conv_resample: bool = True,
    num_classes: int | None = None,
    label_dropout: float = 0.0,
    dropout: float = 0.0,
    outputs_per_channel: int = 1,
    dtype: str = "float32",
    remat: bool = False,
    attention_implementation: str = "xla",
) -> Network:
    """The U-Net of improved DDPM and ADM; options have the names of the published flags.

    The noise condition is the level's number, out of a thousand.

    Args:
        num_channels: channels at full resolution, before the multiplier.
        num_res_blocks: residual blocks a level on the way down (one more on the way up).
        channel_mult: multiplier of each level, 0.5 among them; each next level has half the size.
        attention_resolutions: heights of the feature maps that get self-attention.
        num_heads: heads of every attention, or
        num_head_channels: channels of every head.
        use_scale_shift_norm: whether the embedding scales and shifts normalized maps.
        resblock_updown: whether residual blocks resample.
        conv_resample: if they do not, whether convolutions do.
        num_classes: number of classes, None for an unconditional network ("class_cond").
        label_dropout: probability of training a sample without its class.
        dropout: rate in the residual blocks in training.
        outputs_per_channel: 2 for one that also predicts a variance ("learn_sigma").
        dtype: "float32", "bfloat16" or, with JAX's 64 bits, "float64".
        remat: whether to recompute residual blocks in the backward pass.
        attention_implementation: "xla", or "cudnn" with bfloat16 on NVIDIA GPUs.

    Raises:
        UsageError: an option out of range, or options that contradict each other.
    """
    return _made(OpenAIUNet, {}, **locals())


def super_resolution_unet(
    *,
    factor: int = 4,
    num_channels: int = 192,
    num_res_blocks: int = 2,
    channel_mult: Sequence[float] = (1, 1, 2, 2, 4, 4),
    attention_resolutions: Sequence[int] = (32, 16, 8),
    num_heads: int | None = None,
    num_head_channels: int | None = None,
    use_scale_shift_norm: bool = True,
    resblock_updown: bool = True,
    conv_resample: bool = True,
    num_classes: int | None = None,
    label_dropout: float = 0.0,
    dropout: float = 0.0,
    outputs_per_channel: int = 1,
    dtype: str = "float32",
    remat: bool = False,
    attention_implementation: str = "xla",
) -> Network:
    """The same of an image whose low resolution is known, as the condition "low_resolution".

    It is enlarged bilinearly and stands beside x among the channels that the network sees
    (arXiv:2102.09672, section 5; arXiv:2105.05233, section 3).

    Args:
        factor: the size of x over that of the low resolution; other options as of `openai_unet`.

    Raises:
        UsageError: an option out of range, or options that contradict each other.
    """
    chosen = dict(locals())
    options.in_range("super_resolution_unet", "factor", chosen["factor"], 1, kind=int)
    return _made(SuperResolutionUNet, {"factor": chosen.pop("factor")}, **chosen)


def _made(kind, further, *, num_classes, label_dropout, outputs_per_channel, **trunk):
    """The network of a module of this kind."""
    options.in_range(kind.called, "outputs_per_channel", outputs_per_channel, 1, kind=int)
    options.class_options(kind.called, num_classes, label_dropout)
    return Network(
        kind(
            **trunk_options(kind.called, **trunk),
            num_classes=num_classes,
            label_dropout=label_dropout,
            outputs_per_channel=outputs_per_channel,
            **further,
        )
    )
