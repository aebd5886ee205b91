"""Every continuous process behind one type, so that a sampler is compiled once for all of them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

from scoresde import sdes
from scoresde.keys import sample_keys

PROCESSES = {
    name: sde() for name, sde in sdes.SDES.items() if name not in ("discrete_vp", "learned_vp")
}


def _learned(default):
    return dataclasses.field(default=default, metadata={"learned": True})


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnyProcess(sdes.SDE):
    """PROCESSES[which], where `which` is data."""

    which: int = _learned(0)
    t_min: float = _learned(0.0)
    t_max: float = _learned(1.0)

    @classmethod
    def called(cls, name):
        sde = PROCESSES[name]
        which = jnp.int32(list(PROCESSES).index(name))
        return cls(which=which, t_min=jnp.asarray(sde.t_min, float), t_max=sde.t_max)

    def _switch(self, method, *arguments):
        if not isinstance(self.which, jax.core.Tracer):
            return method(list(PROCESSES.values())[int(self.which)], *arguments)
        arguments = [jnp.asarray(value, jnp.result_type(float)) for value in arguments]
        values = [method(sde, *arguments) for sde in PROCESSES.values()]
        return jax.tree.map(lambda *each: jnp.stack(each)[self.which], *values)

    @property
    def prior_std(self):
        return self._switch(lambda sde: jnp.asarray(sde.prior_std, float))


def _delegate(name):
    def method(self, *arguments):
        return self._switch(lambda sde, *values: getattr(sde, name)(*values), *arguments)

    return method


_ELEMENTWISE = ("alpha", "sigma", "alpha_dot", "sigma_dot", "drift_rate", "diffusion_squared")
for _name in (*_ELEMENTWISE, "log_snr", "time_of_log_snr", "transition"):
    setattr(AnyProcess, _name, _delegate(_name))


@functools.partial(jax.jit, static_argnames="sampler")
def _walk(sampler, keys, x, times, steps, denoiser):
    def body(number, state):
        x, carry = state
        _, x, carry = sampler.step(keys, x, times[number], times[number + 1], denoiser, carry)
        return x, carry

    state = x, sampler.init(x, denoiser, steps)
    return jax.lax.fori_loop(0, steps, body, state)[0]


@pytest.fixture(scope="session")
def any_process():
    """name -> a process that shares its compiled programs with the others."""
    return AnyProcess.called


@pytest.fixture(scope="session")
def walk():
    """(sampler, x, times, denoiser) -> the mean path's end: the sampler's steps without noise."""

    def walk(sampler, x, times, denoiser):
        steps = len(times) - 1
        times = jnp.pad(jnp.asarray(times), (0, 511 - steps), mode="edge")
        keys = sample_keys(jax.random.key(0), len(x))
        return _walk(sampler, keys, x, times, steps, denoiser)

    return walk
