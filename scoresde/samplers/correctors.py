"""Correctors: Markov chain Monte Carlo at one noise level, whose stationary distribution is p_t."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.denoiser import BaseDenoiser
from scoresde.keys import fold_in, normal
from scoresde.plain import check_fields
from scoresde.registry import UsageError
from scoresde.sdes import expand


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corrector:
    """M steps x <- x + e score + sqrt(2 e) z of Langevin dynamics; a subclass chooses e.

    Attributes:
        snr: r, the signal-to-noise ratio that sets the step size; > 0.
        steps: M, how often the step is repeated; >= 1.
    """

    snr: float = 0.16
    steps: int = 1

    def __post_init__(self):
        check_fields(self)
        if not self.snr > 0 or self.steps < 1:
            raise UsageError(
                f"A corrector needs snr > 0 and steps >= 1, got snr={self.snr}, steps={self.steps}."
            )

    @property
    def evaluations(self) -> int:
        """Denoiser evaluations a correction."""
        return self.steps

    def step_size(self, score: Array, z: Array, t: Array, a: Array, denoiser: BaseDenoiser):
        """e, a scalar or [batch]. On DDPM's table a^2 is alpha_i = 1 - beta_i."""
        raise TypeError(f"{type(self).__name__} must define step_size.")

    def correct(self, keys: Array, x: Array, t: Array, a: Array, denoiser: BaseDenoiser) -> Array:
        """x [batch, ...] at time t, corrected. `a` is the data factor of the forward step at t."""

        def body(number, x):
            score = denoiser.score(x, t)
            z = normal(fold_in(keys, number), x.shape, x.dtype)
            step = expand(self.step_size(score, z, t, a, denoiser), x)
            return x + step * score + jnp.sqrt(2 * step) * z

        return jax.lax.fori_loop(0, self.steps, body, x)


def _norms(x):
    return jnp.linalg.norm(jnp.reshape(x, (x.shape[0], -1)), axis=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Langevin(Corrector):
    """e = 2 a^2 (r ||z|| / ||score||)^2  (arXiv:2011.13456, algorithms 4 and 5).

    Attributes:
        norm: what ||z|| and ||score|| are. "sample": of each sample, so that no sample depends on
            its neighbors. "batch": the means over the batch, as published with score_sde.
            "dimension": ||z|| is sqrt(d), the paper's advice for small batches, and ||score|| of
            each sample.
        min_dimensions: with norms of each sample, one of fewer dimensions than this is taken to
            have the missing ones as well, of pure noise, in which ||z||^2 and sigma^2 ||score||^2
            are their number: in few dimensions the score vanishes at every mode, where the step
            would explode. 0 for the formula as it stands.
    """

    norm: str = "sample"
    min_dimensions: int = 128

    def __post_init__(self):
        super().__post_init__()
        if self.norm not in ("sample", "batch", "dimension"):
            raise UsageError(f"Unknown norm {self.norm!r}. Known: sample, batch, dimension.")
        if self.min_dimensions < 0:
            raise UsageError(f"min_dimensions must not be negative, got {self.min_dimensions}.")

    def step_size(self, score, z, t, a, denoiser):
        if self.norm == "batch":
            ratio = jnp.mean(_norms(z)) / jnp.mean(_norms(score))
        else:
            dims = score[0].size
            missing = max(0, self.min_dimensions - dims)
            z_square = _norms(z) ** 2 if self.norm == "sample" else float(dims)
            score_square = _norms(score) ** 2 + missing / denoiser.sde.sigma(t) ** 2
            ratio = jnp.sqrt((z_square + missing) / score_square)
        return 2 * a**2 * (self.snr * ratio) ** 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnealedLangevin(Corrector):
    """e = 2 a^2 (r sigma)^2: annealed Langevin dynamics (Song and Ermon 2019, arXiv:1907.05600)."""

    def step_size(self, score, z, t, a, denoiser):
        return 2 * a**2 * (self.snr * denoiser.sde.sigma(t)) ** 2


CORRECTORS = {
    "langevin": Langevin,
    "ald": AnnealedLangevin,
}
