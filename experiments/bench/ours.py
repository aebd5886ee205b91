"""What is timed of scoresde: the cases of one network, each a function without arguments."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import build, likelihood, samplers, sdes, training
from scoresde.networks.cost import estimate
from scoresde.training.mesh import shard_batch

STEPS = 5
"""Training steps that are timed at once: the next one is dispatched while a device is busy."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """Something to time.

    Attributes:
        call: does it once, and returns arrays to wait for.
        work: how much of the unit it is: steps, evaluations of the network, images.
        unit: of what the seconds are given.
        compiled: the program, for its memory; None for one with a loop, of which XLA cannot tell
            what it costs.
        flops: floating-point operations of a unit's convolutions and products.
    """

    call: Callable[[], Any]
    work: int
    unit: str
    compiled: Any = None
    flops: float | None = None


class Ours:
    """A network of ours with random weights, at one size and computation type.

    Attributes:
        size: `sizes.Size`.
        experiment: of its config.
    """

    def __init__(self, size: Any, dtype: str):
        self.size, self.key = size, jax.random.key(0)
        self.experiment = build(size.load(dtype))
        self.params = jax.jit(self.experiment.init)(self.key)
        self.denoiser = self.experiment.denoiser(self.params)
        self.rng = np.random.default_rng(0)

    def images(self, count: int) -> np.ndarray:
        """Levels, uint8 [count, height, width, 3]."""
        return self.rng.integers(0, 256, (count, *self.experiment.shape), np.uint8)

    def forward(self) -> Case:
        """The network's output."""
        count = self.size.forward
        x = jax.random.normal(self.key, (count, *self.experiment.shape))
        t = jnp.full(count, 500.0)
        compiled = jax.jit(self.experiment.network.apply).lower(self.params, x, t).compile()
        return Case(
            call=lambda: compiled(self.params, x, t),
            **{"work": 1, "unit": "call", "compiled": compiled, "flops": self.flops(count)},
        )

    def flops(self, count: int) -> float:
        """Floating-point operations of one call of the network with so many images."""
        shapes = (count, *self.experiment.shape), (count,)
        x, t = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
        return estimate(self.experiment.network.apply, self.params, x, t).flops

    def train(self, mesh: jax.sharding.Mesh | None = None) -> Case:
        """A whole training step: loss, gradient, clipping, Adam and the average."""
        experiment, mesh = self.experiment, mesh or training.make_mesh()
        codec = experiment.codec_without_data
        objective = experiment.make_objective(codec)

        def loss_fn(params, key, batch):
            return objective(params, key, batch["image"], None, train=True), {}

        state = training.create_state(
            self.key, self.params, experiment.optimizer, experiment.averages
        )
        state = training.packed(state) if experiment.elementwise else state
        state = training.place(mesh, jax.tree.map(jnp.copy, state))
        step = training.make_train_step(
            loss_fn,
            experiment.optimizer,
            mesh,
            averages=experiment.averages,
            side_by_side=not experiment.recomputes,
        )
        batch = shard_batch(mesh, {"image": self.images(self.size.train)[None]}, axis=1)
        compiled, held = step.lower(state, batch).compile(), [state]

        def call():
            for _ in range(STEPS):
                held[0], metrics = compiled(held[0], batch)
            return metrics

        flops = 3 * self.flops(self.size.train)  # forward, and back to maps and to weights
        return Case(call=call, work=STEPS, unit="step", compiled=compiled, flops=flops)

    def pc(self, steps: int) -> Case:
        """Predictor-corrector sampling, Euler-Maruyama or reverse diffusion with Langevin."""
        predictor = "reverse_diffusion"
        sampler = samplers.get(
            "pc", predictor=predictor, snr=0.16, norm="batch", denoise="last_mean"
        )
        return self._sampling(sampler, steps=steps - 1)

    def flow(self, tolerance: float) -> Case:
        """The probability flow from noise to images."""
        return self._sampling(
            samplers.get("probability_flow", rtol=tolerance, atol=tolerance, denoise="none")
        )

    def _sampling(self, sampler: Any, **grid: Any) -> Case:
        shape = (self.size.forward, *self.experiment.shape)
        draw = functools.partial(samplers.sample, self.key, sampler, self.denoiser, shape, **grid)
        nfe = np.asarray(draw().nfe)
        return Case(call=lambda: draw().x, work=int(nfe.max()), unit="evaluation")

    def likelihood(self, tolerance: float, probes: int) -> Case:
        """The log-likelihood of images, all of them to the end."""
        x = self.images(self.size.likelihood) / 127.5 - 1
        if isinstance(self.denoiser.sde, sdes.VE):
            x = (x + 1) / 2
        call = functools.partial(
            likelihood.log_prob,
            *(self.key, self.denoiser, jnp.asarray(x, jnp.float32)),
            rtol=tolerance,
            atol=tolerance,
            probes=probes,
        )
        return Case(call=call, work=int(np.max(call().nfe)), unit="evaluation")
