"""SongUNet: DDPM++ and NCSN++ as EDM trains them (Karras et al. 2022, arXiv:2206.00364, App. F).

The same functions as `ncsnpp.ncsnpp` computes, on preconditioned inputs in place of scaled
outputs, and with EDM's names for the options.
"""

from collections.abc import Sequence

from scoresde.networks import ncsnpp, options
from scoresde.networks.network import Network
from scoresde.registry import UsageError

ENCODERS = {"standard": "none", "skip": "input_skip", "residual": "residual"}
DECODERS = {"standard": "none", "skip": "output_skip"}


def song_unet(
    *,
    label_dim: int = 0,
    augment_dim: int = 0,
    model_channels: int = 128,
    channel_mult: Sequence[int] = (1, 2, 2, 2),
    channel_mult_emb: int = 4,
    num_blocks: int = 4,
    attn_resolutions: Sequence[int] = (16,),
    dropout: float = 0.1,
    label_dropout: float = 0.0,
    embedding_type: str = "positional",
    channel_mult_noise: int = 1,
    encoder_type: str = "standard",
    decoder_type: str = "standard",
    resample_filter: Sequence[float] = (1, 1),
    outputs_per_channel: int = 1,
    dtype: str = "float32",
    remat: bool = False,
    attention_implementation: str = "xla",
) -> Network:
    """EDM's F; the defaults are DDPM++ on CIFAR-10.

    NCSN++ is embedding_type="fourier", channel_mult_noise=2, encoder_type="residual" and
    resample_filter=(1, 3, 3, 1). The noise condition is EDM's c_noise, ln(sigma) / 4, and enters
    the embedding as it is; the input is EDM's c_in x.

    Args:
        label_dim: number of classes, 0 for an unconditional network.
        augment_dim: length of the augmentation labels, 0 for none; they are given to
            `Network.apply` as condition["augment_labels"] [batch, augment_dim], or are zero.
        model_channels: channels at full resolution, before the multiplier.
        channel_mult: channel multiplier of each level; each next level has half the size.
        channel_mult_emb: features of the embedding per model channel.
        num_blocks: residual blocks a level on the way down (one more on the way up).
        attn_resolutions: heights of the feature maps that get self-attention.
        dropout: rate in the residual blocks in training.
        label_dropout: probability of training a sample without its class.
        embedding_type: "positional" or "fourier".
        channel_mult_noise: features of the noise embedding per model channel.
        encoder_type: "standard", "skip" (the image enters at every level) or "residual".
        decoder_type: "standard" or "skip" (an image leaves at every level).
        resample_filter: filter taps of one axis, symmetric and of even number.
        outputs_per_channel: 2 for a network that also predicts a variance.
        dtype: "float32" or "bfloat16".
        remat: whether to recompute residual blocks in the backward pass.
        attention_implementation: "xla" or "cudnn".

    Raises:
        UsageError: an option out of range, or options that contradict each other.
    """
    name = "song_unet"
    options.in_range(name, "label_dim", label_dim, 0, kind=int)
    options.in_range(name, "augment_dim", augment_dim, 0, kind=int)
    options.in_range(name, "channel_mult_emb", channel_mult_emb, 1, kind=int)
    options.in_range(name, "channel_mult_noise", channel_mult_noise, 1, kind=int)
    options.in_range(name, "model_channels", model_channels, 4, kind=int)
    taps = options.numbers(name, "resample_filter", resample_filter, kind=float, least=2)
    if len(taps) % 2 or taps != taps[::-1]:
        raise UsageError(
            f"network {name!r}: resample_filter={resample_filter!r} must be symmetric and of even "
            "length, such as [1, 1] or [1, 3, 3, 1]."
        )
    options.one_of(name, "encoder_type", encoder_type, ENCODERS)
    options.one_of(name, "decoder_type", decoder_type, DECODERS)
    return ncsnpp.build(
        name,
        nf=model_channels,
        ch_mult=channel_mult,
        num_res_blocks=num_blocks,
        attn_resolutions=attn_resolutions,
        resamp_with_conv=True,
        conditional=True,
        fir=True,
        fir_kernel=taps,
        skip_rescale=True,
        resblock_type="biggan",
        progressive=DECODERS[decoder_type],
        progressive_input=ENCODERS[encoder_type],
        progressive_combine="sum",
        embedding_type=embedding_type,
        fourier_scale=16.0,
        init_scale=0.0,
        scale_by_sigma=False,
        nonlinearity="swish",
        dropout=dropout,
        centered=True,
        sigma_min=0.01,
        sigma_max=50.0,
        num_scales=1000,
        num_classes=label_dim or None,
        label_dropout=label_dropout,
        outputs_per_channel=outputs_per_channel,
        dtype=dtype,
        remat=remat,
        attention_implementation=attention_implementation,
        log_condition=False,
        embedding_features=model_channels * channel_mult_noise,
        hidden_multiplier=channel_mult_emb,
        augment_dim=augment_dim,
    )
