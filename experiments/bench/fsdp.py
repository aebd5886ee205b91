"""What each of eight simulated devices holds when a state is split over them, by XLA's analysis.

Example:
  python -m experiments.bench.fsdp
"""

import collections
import os
import re

# Before JAX has its devices.
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
)

import jax
import jax.numpy as jnp

from scoresde import training

LAYERS, WIDTH, BATCH = 12, 512, 64
_COMMUNICATION = r" (all-gather|all-reduce|reduce-scatter|all-to-all)(?:-start)?\("


def init(key: jax.Array) -> dict[str, jax.Array]:
    """A kernel a layer."""
    keys = jax.random.split(key, LAYERS)
    return {str(i): jax.random.normal(keys[i], (WIDTH, WIDTH)) / WIDTH**0.5 for i in range(LAYERS)}


def loss_fn(params: dict, key: jax.Array, batch: dict) -> tuple[jax.Array, dict]:
    """Of residual layers."""
    x = batch["x"]
    for i in range(LAYERS):
        x = x + jnp.tanh(x @ params[str(i)])
    return jnp.mean(x**2), {}


def main() -> None:
    """Compiles the step and prints a table."""
    optimizer, averages = training.make_optimizer("adam", 1e-3), {"ema": training.EMA(rate=0.9)}
    print("| fsdp | state, MB | temporary, MB | communication |\n|---|---|---|---|")
    for fsdp in (1, 2, 4, 8):
        mesh = training.make_mesh(fsdp=fsdp)
        rules = training.fsdp_rules(mesh)
        key = jax.random.key(0)
        state = training.created_on(
            mesh,
            lambda key=key: training.create_state(key, init(key), optimizer, averages),
            rules,
        )
        split = training.batch_sharding(mesh, axis=1)
        batch = {"x": jax.ShapeDtypeStruct((1, BATCH, WIDTH), jnp.float32, sharding=split)}
        step = training.make_train_step(loss_fn, optimizer, mesh, averages=averages, rules=rules)
        compiled = step.lower(state, batch).compile()
        memory = compiled.memory_analysis()
        megabytes = memory.argument_size_in_bytes / 1e6, memory.temp_size_in_bytes / 1e6
        found = collections.Counter(re.findall(_COMMUNICATION, compiled.as_text()))
        words = ", ".join(f"{count} {name}" for name, count in found.items())
        print(f"| {fsdp} | {megabytes[0]:.1f} | {megabytes[1]:.1f} | {words} |")


if __name__ == "__main__":
    main()
