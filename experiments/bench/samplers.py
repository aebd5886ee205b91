"""What a sampler's loop costs beside its network calls, and what its progress bar costs.

Example:
  python experiments/bench/samplers.py --config configs/vp/digits.py --batch_size 64

Random weights: they cost what trained ones do. The bare loop calls the network as often, on the
same shapes, inside one compiled loop, and does nothing else. A percent is told from noise only on
a quiet machine, and by the quickest of many short calls: rather more rounds than more steps.
"""

import argparse
import functools

import jax
import jax.numpy as jnp
from timing import machine, paired

from scoresde import build, load_config, samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.predictions import Noise

SAMPLERS = {
    "euler_maruyama": {},
    "pc": {"snr": 0.16},
    "ddim": {},
    "dpm_solver_pp_2m": {},
}


@functools.partial(jax.jit, static_argnames=("network", "calls"))
def _bare(network, params, x, t, calls):
    return jax.lax.fori_loop(0, calls, lambda _, x: network(params, x, t, None), x)


def bar_cost(shape: tuple[int, ...], rounds: int) -> float:
    """Seconds that a progress bar adds to a run of 1000 steps, by its 100 moves.

    Of a network that costs next to nothing, or the machine's noise would hide it.
    """
    denoiser = Denoiser(sdes.VP(), Noise(), lambda params, x, t, condition: 0.3 * x, None)
    sampler, key = samplers.get("euler_maruyama"), jax.random.key(0)
    draw = functools.partial(samplers.sample, key, sampler, denoiser, shape, steps=1000)
    seconds = paired({"without": lambda: draw().x, "with": lambda: draw(progress=True).x}, rounds)
    return seconds["with"] - seconds["without"]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/vp/digits.py")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=list(SAMPLERS))
    arguments = parser.parse_args()

    experiment = build(load_config(arguments.config))
    key, steps = jax.random.key(0), arguments.steps
    params = experiment.init(key)
    denoiser = experiment.denoiser(params)
    shape = (arguments.batch_size, *experiment.shape)
    x, t = jax.random.normal(key, shape), jnp.full(shape[0], 500.0)

    print(f"{machine()}; {arguments.config}, {steps} steps, batch {arguments.batch_size}\n")
    print("| sampler | NFE | seconds | over the bare calls |")
    print("|---|---|---|---|")
    for name in arguments.samplers:
        draw = functools.partial(
            samplers.sample, key, samplers.get(name, **SAMPLERS[name]), denoiser, shape, steps=steps
        )
        nfe = int(draw().nfe[0])
        seconds = paired(
            {
                "bare": lambda calls=nfe: _bare(experiment.network, params, x, t, calls),
                "sampler": lambda draw=draw: draw().x,
            },
            arguments.rounds,
        )
        over = seconds["sampler"] / seconds["bare"] - 1
        print(f"| {name} | {nfe} | {seconds['sampler']:.3f} | {over:+.1%} |")
    print(f"\nA progress bar adds {1e3 * bar_cost(shape, arguments.rounds):.0f} ms to a run.")


if __name__ == "__main__":
    main()
