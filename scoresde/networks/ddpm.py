"""The network of "Denoising Diffusion Probabilistic Models" (Ho et al. 2020, Appendix B)."""

from collections.abc import Sequence

from scoresde.networks import ncsnpp
from scoresde.networks.network import Network


def ddpm(
    *,
    nf: int = 128,
    ch_mult: Sequence[int] = (1, 2, 2, 2),
    num_res_blocks: int = 2,
    attn_resolutions: Sequence[int] = (16,),
    resamp_with_conv: bool = True,
    conditional: bool = True,
    scale_by_sigma: bool = False,
    nonlinearity: str = "swish",
    dropout: float = 0.1,
    centered: bool = True,
    sigma_min: float = 0.01,
    sigma_max: float = 50.0,
    num_scales: int = 1000,
    num_classes: int | None = None,
    label_dropout: float = 0.0,
    outputs_per_channel: int = 1,
    dtype: str = "float32",
    remat: bool = False,
    attention_implementation: str = "xla",
) -> Network:
    """DDPM's U-Net; the defaults are its CIFAR-10 network.

    The trunk of NCSN++ with plain residual blocks and resampling, 32 groups in every normalization
    and no pyramids. The noise condition is 999 t or an index from 0 to num_scales - 1.

    Args:
        nf: channels at full resolution, before the multiplier; a multiple of 32.
        ch_mult: see `ncsnpp.ncsnpp`, as for all the others.
        num_res_blocks: residual blocks a level.
        attn_resolutions: heights of the feature maps that get self-attention.
        resamp_with_conv: whether resampling layers have a convolution.
        conditional: whether the network sees the noise condition at all.
        scale_by_sigma: whether to divide the output by the table's sigma at the noise condition.
        nonlinearity: "elu", "relu", "lrelu" or "swish".
        dropout: rate in the residual blocks in training.
        centered: whether data lie in [-1, 1], not in [0, 1].
        sigma_min: least sigma of the table.
        sigma_max: greatest sigma of the table.
        num_scales: length of the table.
        num_classes: classes to condition on, None for an unconditional network.
        label_dropout: probability of training a sample without its class.
        outputs_per_channel: 2 for a network that also predicts a variance.
        dtype: "float32" or "bfloat16".
        remat: whether to recompute residual blocks in the backward pass.
        attention_implementation: "xla" or "cudnn".

    Raises:
        UsageError: an option out of range, or options that contradict each other.
    """
    return ncsnpp.build(
        "ddpm",
        **locals(),
        fir=False,
        fir_kernel=(1, 1),
        skip_rescale=False,
        resblock_type="ddpm",
        progressive="none",
        progressive_input="none",
        progressive_combine="sum",
        embedding_type="positional",
        fourier_scale=16.0,
        init_scale=0.0,
        norm_groups=32,
    )
