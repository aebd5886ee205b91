"""What a guided step costs beside an unguided one.

Example:
  python experiments/bench/guidance.py --config configs/vp/digits.py --batch_size 64

The config's network with ten classes and random weights, which cost what trained ones do; the same
number of steps of DDIM, so that the ratio is that of a step.
"""

import argparse
import functools

import jax
import jax.numpy as jnp
from timing import machine, paired

from scoresde import build, configure, guidance, load_config, observations, samplers

POSTERIOR = guidance.DPS, guidance.PiGDM


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="vp/digits")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()

    configure()
    items = ["--config.network.num_classes=10", "--config.data.labels=True"]
    experiment = build(load_config(arguments.config, items))
    key = jax.random.key(0)
    denoiser = experiment.denoiser(experiment.init(key))
    batch = arguments.batch_size
    condition = {"label": jnp.arange(batch) % 10}
    observation = observations.get("inpainting", noise=0.1)
    seen = {
        "observation": jnp.zeros((batch, *experiment.shape)),
        "mask": jnp.ones((batch, *experiment.shape)),
    }
    guided = {
        "unguided": denoiser,
        "cfg": guidance.get("cfg", denoiser, scale=2.0),
        "cfg at scale 1": guidance.get("cfg", denoiser, scale=1.0),
        "autoguidance": guidance.get("autoguidance", denoiser, weaker=denoiser, scale=2.0),
        "dynamic_thresholding": guidance.get("dynamic_thresholding", denoiser),
        "DPS": guidance.DPS(denoiser, observation),
        "PiGDM": guidance.PiGDM(denoiser, observation),
    }

    def draw(denoiser):
        return samplers.sample(
            key,
            samplers.get("ddim"),
            denoiser,
            (batch, *experiment.shape),
            condition=condition | (seen if isinstance(denoiser, POSTERIOR) else {}),
            steps=arguments.steps,
        ).x

    candidates = {name: functools.partial(draw, guide) for name, guide in guided.items()}
    seconds = paired(candidates, arguments.rounds)
    print(f"{machine()}; {arguments.config}, {arguments.steps} steps of DDIM, batch {batch}\n")
    print("| guidance | seconds | of unguided |")
    print("|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.3f} | {value / seconds['unguided']:.2f} |")


if __name__ == "__main__":
    main()
