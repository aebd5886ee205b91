"""Does scanning over identical blocks pay? Compile and step times of the deep CIFAR-10 NCSN++.

Of the 76 residual blocks of the network with 8 blocks a level, 56 are in runs of 7 that differ in
their weights alone. `nn.scan` compiles each run once, as a loop over stacked weights. This script
measures what that is worth: the trunk of `scoresde.networks.ncsnpp`, block by block as it is, and
the same with loops, each compiled anew, for the gradient of a training step and for one evaluation.

    python experiments/bench/compile_time.py --nf 32 --batch 8
"""

import argparse
import json
import math
import statistics
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from scoresde import configure, networks
from scoresde.networks import blocks, embeddings, layers
from scoresde.networks.attention import AttnBlockpp
from scoresde.networks.group_norm import GroupNorm
from scoresde.networks.initializers import INITIALIZERS, ScaledUniform

KERNEL = (1, 3, 3, 1)
ATTENTION_AT = 16
CH_MULT = (1, 2, 2, 2)


def residual_block(**options):
    """A block of the network."""
    return blocks.ResnetBlockBigGANpp(skip_rescale=True, kernel=KERNEL, **options)


class DownStep(nn.Module):
    """One of the identical steps of the way down; its output is also a skip."""

    features: int

    @nn.compact
    def __call__(self, h, embedding):
        h = residual_block(features=self.features)(h, embedding)
        if h.shape[1] == ATTENTION_AT:
            h = AttnBlockpp(skip_rescale=True)(h)
        return h, h


class UpStep(nn.Module):
    """One of the identical steps of the way up."""

    features: int

    @nn.compact
    def __call__(self, h, skip, embedding):
        h = residual_block(features=self.features)(jnp.concatenate([h, skip], -1), embedding)
        return h, None


def scanned(step, length, in_axes):
    """`length` of the steps as a loop over their stacked weights."""
    return nn.scan(
        step,
        variable_axes={"params": 0, INITIALIZERS: 0},
        split_rngs={"params": True},
        in_axes=in_axes,
        length=length,
    )


class ScannedNCSNpp(nn.Module):
    """NCSN++ with a residual input pyramid (CIFAR-10, continuous VE), its runs of blocks as loops.

    Attributes:
        nf: channels.
        num_res_blocks: blocks a level.
    """

    nf: int
    num_res_blocks: int

    @nn.compact
    def __call__(self, x, sigma):
        run = self.num_res_blocks - 1
        embedding = embeddings.GaussianFourierProjection(self.nf, 16.0)(jnp.log(sigma))
        embedding = layers.Dense(4 * self.nf)(embedding)
        embedding = layers.Dense(4 * self.nf)(nn.swish(embedding))
        image = x
        h = layers.Conv(self.nf)(x)
        skips = []
        for level, multiplier in enumerate(CH_MULT):
            features = self.nf * multiplier
            first = h
            h, _ = DownStep(features)(h, embedding)
            last, rest = scanned(DownStep, run, nn.broadcast)(features)(h, embedding)
            skips.append((first, h, rest))
            h = last
            if level < len(CH_MULT) - 1:
                h = residual_block(resample="down")(h, embedding)
                pyramid = blocks.Downsample(h.shape[-1], with_conv=True, fir=True, kernel=KERNEL)
                image = h = (pyramid(image) + h) / math.sqrt(2)

        h = residual_block()(h, embedding)
        h = AttnBlockpp(skip_rescale=True)(h)
        h = residual_block()(h, embedding)

        for level, multiplier in reversed(list(enumerate(CH_MULT))):
            features = self.nf * multiplier
            first, second, rest = skips.pop()
            others = jnp.concatenate([rest[:-1][::-1], second[None]])
            h, _ = UpStep(features)(h, rest[-1], embedding)
            h, _ = scanned(UpStep, run, (0, nn.broadcast))(features)(h, others, embedding)
            h, _ = UpStep(features)(h, first, embedding)
            if h.shape[1] == ATTENTION_AT:
                h = AttnBlockpp(skip_rescale=True)(h)
            if level > 0:
                h = residual_block(resample="up")(h, embedding)
        h = nn.swish(GroupNorm()(h))
        h = layers.Conv(x.shape[-1], kernel_init=ScaledUniform(0.0))(h)
        return h / sigma[:, None, None, None]


def measure(function, arguments, repeats: int) -> dict[str, float]:
    """Seconds to trace, to compile and to run (the median) once."""
    start = time.perf_counter()
    lowered = jax.jit(function).lower(*arguments)
    traced = time.perf_counter()
    compiled = lowered.compile()
    built = time.perf_counter()
    jax.block_until_ready(compiled(*arguments))
    runs = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        runs.append(time.perf_counter() - begin)
    return {
        "trace": traced - start,
        "compile": built - traced,
        "run": statistics.median(runs),
        "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
    }


def main():
    """Prints one JSON object a measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nf", type=int, default=128)
    parser.add_argument("--num_res_blocks", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    configure()
    jax.config.update("jax_enable_compilation_cache", False)

    size = {"nf": arguments.nf, "num_res_blocks": arguments.num_res_blocks}
    unrolled = networks.get("ncsnpp", centered=True, dropout=0.0, **size)
    loops = networks.Network(ScannedNCSNpp(**size))
    x = np.random.default_rng(0).standard_normal((arguments.batch, 32, 32, 3), np.float32)
    sigma = np.linspace(0.1, 10.0, arguments.batch, dtype=np.float32)
    counts = set()
    for name, network in (("loops", loops), ("unrolled", unrolled)):
        shapes = network.parameter_shapes((32, 32, 3))
        counts.add(sum(leaf.size for leaf in jax.tree.leaves(shapes)))
        params = jax.tree.map(
            lambda s: (0.02 * np.random.default_rng(0).standard_normal(s.shape)).astype(s.dtype),
            shapes,
        )

        def apply(params, x, sigma, network=network):
            return network.module.apply({"params": params}, x, sigma)

        def gradient(params, x, sigma, apply=apply):
            return jax.grad(lambda params: jnp.sum(apply(params, x, sigma) ** 2))(params)

        for task, function in (("evaluation", apply), ("gradient", gradient)):
            result = measure(function, (params, x, sigma), arguments.repeats)
            print(json.dumps({"blocks": name, "task": task, **size, **result}), flush=True)
    assert len(counts) == 1, f"The two networks differ: {counts} parameters."


if __name__ == "__main__":
    main()
