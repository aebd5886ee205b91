"""Every continuous process behind one type, so that a program is compiled once for all of them."""

import dataclasses

import jax
import jax.numpy as jnp

from scoresde import sdes

PROCESSES = {
    name: sde()
    for name, sde in sdes.SDES.items()
    if name not in ("discrete_vp", "discrete_cosine", "learned_vp")
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
    def default_grid(self):
        return list(PROCESSES.values())[int(self.which)].default_grid

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
