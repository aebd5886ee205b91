"""EDM2's magnitude-preserving U-Net (Karras et al. 2024, arXiv:2312.02696, configuration G).

ADM's U-Net without group normalizations and biases, of the layers of
`scoresde.networks.magnitude`. Beside the image it says how uncertain it is: u(sigma), the
logarithm of the variance of its error, a function of the noise level alone by which its loss is
weighted (`scoresde.losses.UncertaintyLoss`).
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import options
from scoresde.networks.blocks import rematerialized
from scoresde.networks.edm2_blocks import LogVariance, MPBlock
from scoresde.networks.embeddings import one_hot
from scoresde.networks.magnitude import (
    MPFourier,
    MPLayer,
    mp_cat,
    mp_silu,
    mp_sum,
    normalized_rows,
    scalar,
)
from scoresde.networks.network import Network
from scoresde.registry import UsageError


class EDM2(nn.Module):
    """The U-Net; see `edm2` for the options.

    Modules are called by their place, as `enc_16x16_block0`.

    Attributes:
        image_channels: channels of the image, where others beside it are among x's; None for all.
    """

    model_channels: int
    channel_mult: tuple[float, ...]
    num_blocks: int
    attn_resolutions: tuple[int, ...]
    channels_per_head: int = 64
    log_variance_features: int = 128
    num_classes: int | None = None
    label_dropout: float = 0.0
    dropout: float = 0.0
    label_balance: float = 0.5
    concat_balance: float = 0.5
    res_balance: float = 0.3
    attn_balance: float = 0.3
    remat: bool = False
    attention_implementation: str = "xla"
    image_channels: int | None = None
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        self.log_variance_head = LogVariance(self.log_variance_features)

    @property
    def stochastic(self) -> bool:
        """Whether training needs random numbers."""
        return self.dropout > 0 or self.label_dropout > 0

    def log_variance(self, noise_condition: jax.Array) -> jax.Array:
        """u [batch], the logarithm of the variance of the error, of noise conditions [batch]."""
        return self.log_variance_head(noise_condition)

    @staticmethod
    def project(params: Any) -> Any:
        """The parameters with rows of unit size, as a step of training starts from them."""

        def of(path, leaf):
            return normalized_rows(leaf) if path[-1].key == "kernel" else leaf

        return jax.tree_util.tree_map_with_path(of, params)

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        noise_condition: jax.Array,
        labels: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> jax.Array:
        """Maps x [batch, height, width, channels], noise_condition [batch] to an image like x."""
        options.divisible_image("edm2", x.shape, len(self.channel_mult))
        outputs = self.image_channels or x.shape[-1]
        embedding = self._embed(noise_condition, labels, train)
        h = jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)  # as there are no biases
        h = self._decode(*self._encode(h, embedding, train), embedding, train)
        wide = jnp.promote_types(self.dtype, jnp.float32)
        h = MPLayer(outputs, 3, dtype=self.dtype, name="out_conv")(h, scalar(self, "out_gain"))
        if self.is_initializing():
            self.log_variance(noise_condition)
        return h.astype(wide)

    def _embed(self, noise_condition, labels, train):
        """What every block is told, [batch, features]."""
        options.labels_have_classes("edm2", labels, self.num_classes)
        features = max(map(self._width, range(len(self.channel_mult))))
        wide = jnp.promote_types(self.dtype, jnp.float32)
        waves = MPFourier(self._width(0), name="emb_fourier")(noise_condition)
        embedding = MPLayer(features, dtype=wide, name="emb_noise")(waves)
        if self.num_classes is not None:
            rows = self._one_hot(labels, len(embedding), train) * math.sqrt(self.num_classes)
            of_class = MPLayer(features, dtype=wide, name="emb_label")(rows)
            embedding = mp_sum(embedding, of_class, self.label_balance)
        return mp_silu(embedding)

    def _one_hot(self, labels, batch, train):
        """The labels one-hot; zeros for no class, and where they are dropped in training."""
        rows = one_hot(labels, batch, self.num_classes)
        if train and self.label_dropout > 0:
            dropped = jax.random.bernoulli(self.make_rng("dropout"), self.label_dropout, (batch, 1))
            rows = jnp.where(dropped, 0.0, rows)
        return rows

    def _width(self, level: int) -> int:
        return int(self.model_channels * self.channel_mult[level])

    def _block(self, part, kind, features, size, train, **options) -> MPBlock:
        attention = options.pop("attention", False)
        if attention and features % self.channels_per_head:
            raise UsageError(
                f"network 'edm2': {features} channels do not divide into attention heads of "
                f"{self.channels_per_head}; change model_channels or channels_per_head."
            )
        block = rematerialized(MPBlock) if self.remat else MPBlock
        return block(
            features,
            encoder=part == "enc",
            heads=features // self.channels_per_head if attention else 0,
            balance=self.res_balance,
            attention_balance=self.attn_balance,
            dropout=self.dropout,
            train=train,
            implementation=self.attention_implementation,
            dtype=self.dtype,
            name=f"{part}_{size[0]}x{size[1]}_{kind}",
            **options,
        )

    def _encode(self, x, embedding, train):
        """The last feature map of the way down, and all of them."""
        size = x.shape[1:3]
        name = f"enc_{size[0]}x{size[1]}_conv"
        maps = [MPLayer(self._width(0), 3, dtype=self.dtype, name=name)(x)]
        for level in range(len(self.channel_mult)):
            if level > 0:
                size = tuple(length // 2 for length in size)
                block = self._block("enc", "down", maps[-1].shape[-1], size, train, resample="down")
                maps.append(block(maps[-1], embedding))
            for number in range(self.num_blocks):
                attention = size[0] in self.attn_resolutions
                block = self._block(
                    "enc", f"block{number}", self._width(level), size, train, attention=attention
                )
                maps.append(block(maps[-1], embedding))
        return maps[-1], maps

    def _decode(self, h, maps, embedding, train):
        """The feature map at the end of the way up."""
        maps = list(maps)
        for level in reversed(range(len(self.channel_mult))):
            if level == len(self.channel_mult) - 1:
                for kind, attention in (("in0", True), ("in1", False)):
                    block = self._block(
                        "dec", kind, h.shape[-1], h.shape[1:3], train, attention=attention
                    )
                    h = block(h, embedding)
            else:
                size = tuple(2 * length for length in h.shape[1:3])
                h = self._block("dec", "up", h.shape[-1], size, train, resample="up")(h, embedding)
            for number in range(self.num_blocks + 1):
                attention = h.shape[1] in self.attn_resolutions
                block = self._block(
                    "dec",
                    f"block{number}",
                    self._width(level),
                    h.shape[1:3],
                    train,
                    attention=attention,
                )
                h = block(mp_cat(h, maps.pop(), self.concat_balance), embedding)
        return h


def edm2(
    *,
    label_dim: int = 0,
    model_channels: int = 192,
    channel_mult: Sequence[int] = (1, 2, 3, 4),
    num_blocks: int = 3,
    attn_resolutions: Sequence[int] = (16, 8),
    channels_per_head: int = 64,
    dropout: float = 0.0,
    label_dropout: float = 0.0,
    log_variance_features: int = 128,
    label_balance: float = 0.5,
    concat_balance: float = 0.5,
    res_balance: float = 0.3,
    attn_balance: float = 0.3,
    dtype: str = "float32",
    remat: bool = False,
    attention_implementation: str = "xla",
) -> Network:
    """EDM2's F and u; the defaults are its size S.

    The noise condition is EDM's c_noise, ln(sigma) / 4; the input is EDM's c_in x.

    Args:
        label_dim: number of classes, 0 for an unconditional network.
        model_channels: channels at full resolution, before the multiplier.
        channel_mult: channel multiplier of each level; each next level has half the size.
        num_blocks: residual blocks a level on the way down (one more on the way up).
        attn_resolutions: heights of the feature maps that get self-attention; so does the first
            block of the way up.
        channels_per_head: channels of an attention head.
        dropout: rate in the residual blocks in training.
        label_dropout: probability of training a sample without its class.
        log_variance_features: Fourier features of u.
        label_balance: share t of the class in the embedding, in [0, 1].
        concat_balance: share of the skip where it joins the way up.
        res_balance: share of a block's residual branch.
        attn_balance: share of the attention.
        dtype: "float32" or "bfloat16".
        remat: whether to recompute residual blocks in the backward pass.
        attention_implementation: "xla", or "cudnn" with bfloat16 on NVIDIA GPUs.

    Raises:
        UsageError: an option out of range, or options that contradict each other.
    """
    for option, value, least in (
        ("label_dim", label_dim, 0),
        ("model_channels", model_channels, 1),
        ("num_blocks", num_blocks, 1),
        ("channels_per_head", channels_per_head, 1),
        ("log_variance_features", log_variance_features, 1),
    ):
        options.in_range("edm2", option, value, least, kind=int)
    options.in_range("edm2", "dropout", dropout, 0, 1, kind=float)
    options.class_options("edm2", label_dim or None, label_dropout)
    balances = {
        "label_balance": label_balance,
        "concat_balance": concat_balance,
        "res_balance": res_balance,
        "attn_balance": attn_balance,
    }
    for option, value in balances.items():
        options.in_range("edm2", option, value, 0, 1, kind=float)
    return Network(
        EDM2(
            model_channels=model_channels,
            channel_mult=options.numbers("edm2", "channel_mult", channel_mult, least=1),
            num_blocks=num_blocks,
            attn_resolutions=options.numbers("edm2", "attn_resolutions", attn_resolutions),
            channels_per_head=channels_per_head,
            log_variance_features=log_variance_features,
            num_classes=label_dim or None,
            label_dropout=label_dropout,
            dropout=dropout,
            remat=remat,
            dtype=options.compute_options("edm2", dtype, attention_implementation),
            attention_implementation=attention_implementation,
            **balances,
        )
    )
