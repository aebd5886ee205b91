"""NCSN++ and DDPM++ (Song et al. 2021, "Score-based generative modeling through SDEs", App. H).

A U-Net of residual blocks; the image may enter again at every level of the way down
(`progressive_input`) and leave at every level of the way up (`progressive`). The same trunk, with
other options, is the DDPM network (`ddpm.py`) and EDM's SongUNet (`song_unet.py`).
"""

import functools
import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import blocks, embeddings, layers, options
from scoresde.networks.attention import AttnBlockpp
from scoresde.networks.group_norm import GroupNorm
from scoresde.networks.initializers import ScaledUniform
from scoresde.networks.network import Network
from scoresde.registry import UsageError


class NCSNpp(nn.Module):
    """The trunk; see `ncsnpp` for the options, and below for those it leaves at their defaults.

    The order in which submodules are made fixes their names, hence the layout of checkpoints.

    Attributes:
        name_in_errors: how messages call the network.
        norm_groups: groups of every normalization, None for the default of `GroupNorm`.
        log_condition: whether the Fourier embedding takes the noise condition's logarithm.
        embedding_features: length of the noise embedding, None for 2 nf (Fourier) or nf.
        hidden_multiplier: length of the embedding that the blocks receive, in units of nf.
        augment_dim: length of the augmentation labels, 0 for none.
        image_channels: channels of the image, where others beside it are among x's; None for all.
    """

    nf: int
    ch_mult: tuple[int, ...]
    num_res_blocks: int
    attn_resolutions: tuple[int, ...]
    resamp_with_conv: bool
    conditional: bool
    fir: bool
    fir_kernel: tuple[float, ...]
    skip_rescale: bool
    resblock_type: str
    progressive: str
    progressive_input: str
    progressive_combine: str
    embedding_type: str
    fourier_scale: float
    init_scale: float
    scale_by_sigma: bool
    nonlinearity: str
    dropout: float
    centered: bool
    sigma_min: float
    sigma_max: float
    num_scales: int
    num_classes: int | None
    label_dropout: float
    dtype: jnp.dtype
    remat: bool
    attention_implementation: str
    name_in_errors: str = "ncsnpp"
    norm_groups: int | None = None
    log_condition: bool = True
    embedding_features: int | None = None
    hidden_multiplier: int = 4
    augment_dim: int = 0
    outputs_per_channel: int = 1
    image_channels: int | None = None

    @property
    def stochastic(self) -> bool:
        """Whether training needs random numbers."""
        return self.dropout > 0 or self.label_dropout > 0

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        noise_condition: jax.Array,
        labels: jax.Array | None = None,
        *,
        train: bool = False,
        augment_labels: jax.Array | None = None,
    ) -> jax.Array:
        """Maps x [batch, height, width, channels], noise_condition [batch] to the outputs."""
        channels = self.image_channels or x.shape[-1]
        num_resolutions, outputs = len(self.ch_mult), self.outputs_per_channel * channels
        options.divisible_image(self.name_in_errors, x.shape, num_resolutions)
        options.labels_have_classes(self.name_in_errors, labels, self.num_classes)
        kernel = self.fir_kernel if self.fir else (1, 1)
        residual_block, resample = self._blocks(kernel, train)
        down, up = (
            functools.partial(cls, fir=self.fir, kernel=kernel, dtype=self.dtype)
            for cls in (blocks.Downsample, blocks.Upsample)
        )
        attention = functools.partial(
            AttnBlockpp,
            skip_rescale=self.skip_rescale,
            init_scale=self.init_scale,
            groups=self.norm_groups,
            implementation=self.attention_implementation,
            train=train,
            dtype=self.dtype,
        )

        embedding = self._embed(noise_condition, labels, augment_labels, train)
        x = x.astype(jnp.float32)
        h = image = (x if self.centered else 2 * x - 1).astype(self.dtype)
        h = layers.Conv(self.nf, dtype=self.dtype)(h)

        skips = [h]
        for level, multiplier in enumerate(self.ch_mult):
            for _ in range(self.num_res_blocks):
                h = residual_block(features=self.nf * multiplier)(h, embedding)
                if h.shape[1] in self.attn_resolutions:
                    h = attention()(h)
                skips.append(h)
            if level < num_resolutions - 1:
                h = resample("down", h, embedding)
                if self.progressive_input == "input_skip":
                    image = down()(image)
                    h = blocks.Combine(self.progressive_combine, self.dtype)(image, h)
                elif self.progressive_input == "residual":
                    image = h = self._merge(down(h.shape[-1], with_conv=True)(image), h)
                skips.append(h)

        h = residual_block()(h, embedding)
        h = attention()(h)
        h = residual_block()(h, embedding)

        output = None
        for level, multiplier in reversed(list(enumerate(self.ch_mult))):
            for _ in range(self.num_res_blocks + 1):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = residual_block(features=self.nf * multiplier)(h, embedding)
            if h.shape[1] in self.attn_resolutions:
                h = attention()(h)
            if self.progressive == "output_skip":
                output = 0.0 if output is None else up()(output)
                output += self._to_output(h, outputs)
            elif self.progressive == "residual" and output is None:
                output = self._to_output(h, h.shape[-1], init_scale=1.0, dtype=self.dtype)
            elif self.progressive == "residual":
                output = h = self._merge(up(h.shape[-1], with_conv=True)(output), h)
            if level > 0:
                h = resample("up", h, embedding)

        if self.progressive != "output_skip":
            output = self._to_output(h, outputs)
        if self.scale_by_sigma:  # the score, and not what is said beside it
            sigma, is_score = self._sigma(noise_condition), jnp.arange(outputs) < channels
            output /= jnp.where(is_score, sigma[:, None, None, None], 1.0)
        return output

    def _embed(self, noise_condition, labels, augment_labels, train: bool) -> jax.Array | None:
        """The embedding [batch, features] that every residual block receives."""
        if self.embedding_type == "fourier":
            level = jnp.log(noise_condition) if self.log_condition else noise_condition
            frequencies = (self.embedding_features or 2 * self.nf) // 2
            embedding = embeddings.GaussianFourierProjection(frequencies, self.fourier_scale)(level)
        else:
            features = self.embedding_features or self.nf
            embedding = embeddings.positional_embedding(noise_condition, features)
        if not self.conditional:
            return None
        if self.num_classes is not None:
            embedding += embeddings.ClassEmbedding(
                self.num_classes,
                embedding.shape[-1],
                self.label_dropout,
                one_hot_scale=math.sqrt(self.num_classes),
                name="class_embedding",
            )(labels, len(embedding), train=train)
        if self.augment_dim:
            embedding += embeddings.AugmentEmbedding(
                self.augment_dim, embedding.shape[-1], name="augment_embedding"
            )(augment_labels, len(embedding))
        features = self.hidden_multiplier * self.nf
        embedding = layers.Dense(features)(embedding)
        return layers.Dense(features)(layers.ACTIVATIONS[self.nonlinearity](embedding))

    def _blocks(self, kernel: Sequence[float], train: bool):
        """The residual block's constructor, and a function that resamples h up or down."""
        kinds = {"ddpm": blocks.ResnetBlockDDPMpp, "biggan": blocks.ResnetBlockBigGANpp}
        cls = kinds[self.resblock_type]
        residual_block = functools.partial(
            blocks.rematerialized(cls) if self.remat else cls,
            nonlinearity=self.nonlinearity,
            dropout=self.dropout,
            skip_rescale=self.skip_rescale,
            init_scale=self.init_scale,
            groups=self.norm_groups,
            train=train,
            dtype=self.dtype,
        )

        def resample(direction: str, h: jax.Array, embedding: jax.Array | None) -> jax.Array:
            if self.resblock_type == "biggan":
                return residual_block(resample=direction, kernel=kernel)(h, embedding)
            layer = blocks.Downsample if direction == "down" else blocks.Upsample
            return layer(None, self.resamp_with_conv, self.fir, kernel, self.dtype)(h)

        return residual_block, resample

    def _merge(self, pyramid: jax.Array, h: jax.Array) -> jax.Array:
        return (pyramid + h) / math.sqrt(2) if self.skip_rescale else pyramid + h

    def _to_output(self, h, features: int, init_scale=None, dtype=jnp.float32) -> jax.Array:
        """GroupNorm, activation and a 3x3 convolution, in float32 where the result is an output."""
        activation = layers.ACTIVATIONS[self.nonlinearity]
        h = GroupNorm(self.norm_groups, dtype=self.dtype, activation=activation)(h)
        init_scale = self.init_scale if init_scale is None else init_scale
        return layers.Conv(features, kernel_init=ScaledUniform(init_scale), dtype=dtype)(h)

    def _sigma(self, noise_condition: jax.Array) -> jax.Array:
        """The standard deviation that the noise condition stands for."""
        if self.embedding_type == "fourier":
            return noise_condition
        # Between levels, at 999 t, the originals take the table's entry below.
        index = noise_condition.astype(jnp.int32)
        return embeddings.sigma_at(index, self.sigma_min, self.sigma_max, self.num_scales)


def ncsnpp(
    *,
    nf: int = 128,
    ch_mult: Sequence[int] = (1, 2, 2, 2),
    num_res_blocks: int = 4,
    attn_resolutions: Sequence[int] = (16,),
    resamp_with_conv: bool = True,
    conditional: bool = True,
    fir: bool = True,
    fir_kernel: Sequence[float] = (1, 3, 3, 1),
    skip_rescale: bool = True,
    resblock_type: str = "biggan",
    progressive: str = "none",
    progressive_input: str = "residual",
    progressive_combine: str = "sum",
    embedding_type: str = "fourier",
    fourier_scale: float = 16.0,
    init_scale: float = 0.0,
    scale_by_sigma: bool = True,
    nonlinearity: str = "swish",
    dropout: float = 0.1,
    centered: bool = False,
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
    """NCSN++; the defaults are the continuous CIFAR-10 network of the paper.

    DDPM++ is fir=False, progressive_input="none", embedding_type="positional", centered=True and
    scale_by_sigma=False.

    Args:
        nf: channels at full resolution, before the multiplier.
        ch_mult: channel multiplier of each level; each next level has half the size.
        num_res_blocks: residual blocks a level on the way down (one more on the way up).
        attn_resolutions: heights of the feature maps that get self-attention.
        resamp_with_conv: with resblock_type="ddpm", whether resampling layers have a convolution.
        conditional: whether the network sees the noise condition at all.
        fir: whether to resample with `fir_kernel`, not by nearest neighbor and 2x2 mean.
        fir_kernel: filter taps of one axis.
        skip_rescale: whether to divide every residual sum by sqrt 2.
        resblock_type: "biggan" (blocks that also resample) or "ddpm".
        progressive: "none", "output_skip" (an image from every level, summed) or "residual".
        progressive_input: "none", "input_skip" (the image into every level) or "residual".
        progressive_combine: "sum" or "cat", how input_skip merges.
        embedding_type: "fourier", for noise_condition = sigma, of which the network takes the
            logarithm; or "positional", for noise_condition = 999 t or an index.
        fourier_scale: standard deviation of the fixed Fourier frequencies.
        init_scale: scale of the initializer of last convolutions; 0 makes the first output ~0.
        scale_by_sigma: whether to divide the output by sigma, which is noise_condition itself, or
            with a positional embedding the entry of index noise_condition, rounded down, in the
            descending geometric table of `num_scales` values from `sigma_max` to `sigma_min`.
        nonlinearity: "elu", "relu", "lrelu" or "swish".
        dropout: rate in the residual blocks in training.
        centered: whether data lie in [-1, 1]; if not, in [0, 1], and the network maps x to 2x - 1.
        sigma_min: see scale_by_sigma.
        sigma_max: see scale_by_sigma.
        num_scales: see scale_by_sigma.
        num_classes: classes to condition on, None for an unconditional network.
        label_dropout: probability of training a sample without its class.
        outputs_per_channel: 2 for a network that also predicts a variance.
        dtype: "float32" or "bfloat16", the type of activations; parameters, normalization
            statistics, softmax, embeddings and outputs stay float32.
        remat: whether to recompute residual blocks in the backward pass, to save memory.
        attention_implementation: "xla", or "cudnn" with bfloat16 on NVIDIA GPUs.

    Raises:
        UsageError: an option out of range, or options that contradict each other.
    """
    return build("ncsnpp", **locals())


def build(
    name: str, *, norm_groups: int | None = None, embedding_features: int | None = None, **fields
) -> Network:
    """The checked NCSNpp of the factory called `name`; lists become tuples.

    Raises:
        UsageError: an option out of range, or options that contradict each other.
    """
    for option, allowed in {
        "resblock_type": ("biggan", "ddpm"),
        "progressive": ("none", "output_skip", "residual"),
        "progressive_input": ("none", "input_skip", "residual"),
        "progressive_combine": ("sum", "cat"),
        "embedding_type": ("fourier", "positional"),
        "nonlinearity": layers.ACTIVATIONS,
    }.items():
        options.one_of(name, option, fields[option], allowed)
    for option, least in {"nf": 4, "num_res_blocks": 1, "outputs_per_channel": 1}.items():
        options.in_range(name, option, fields[option], least, kind=int)
    for option, high in {"dropout": 1, "init_scale": math.inf, "fourier_scale": math.inf}.items():
        options.in_range(name, option, fields[option], 0, high, kind=float)
    sequences = {"ch_mult": (1, int), "attn_resolutions": (0, int), "fir_kernel": (2, float)}
    for option, (least, kind) in sequences.items():
        fields[option] = options.numbers(name, option, fields[option], kind=kind, least=least)
    options.sigma_table(name, fields["sigma_min"], fields["sigma_max"], fields["num_scales"])
    options.class_options(name, fields["num_classes"], fields["label_dropout"])
    if fields["num_classes"] is not None and not fields["conditional"]:
        raise UsageError(
            f"network {name!r}: conditional=False drops every embedding, the classes' too; "
            "leave num_classes out or set conditional=True."
        )
    width = embedding_features or fields["nf"]
    if width % 2 or width < 4:
        raise UsageError(f"network {name!r}: the noise embedding needs an even width, not {width}.")
    dtype, attention = fields["dtype"], fields["attention_implementation"]
    fields["dtype"] = options.compute_options(name, dtype, attention)
    given = {"norm_groups": norm_groups, "embedding_features": embedding_features}
    return Network(NCSNpp(**fields, **given, name_in_errors=name))
