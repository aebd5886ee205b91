"""What a training step needs of a device's memory, by the analysis of the compiler that it is for.

Example:
  pip install libtpu          # the version that JAX's extra "tpu" asks for
  python -m experiments.bench.memory --topology v5p:2x2x2

Nothing is computed: a step of each network is compiled for one device and for eight, and XLA says
what its arguments (the state and the batch) and its temporaries take. With a topology the
compiler is that of a TPU, of which none need be there; without one, that of the devices that are
there. (A CPU's says little: recomputation is undone by it, and bfloat16 is computed in float32.)
The compiler is told to make little effort, which needs no other memory where that was tried, and
two thirds of the time.
"""

import argparse
import collections
import itertools
import os
import re
import time

import jax
import jax.numpy as jnp

import scoresde
from scoresde import training
from scoresde.training.packing import largest_packed
from scoresde.training.sharding import state_shardings

CONFIGS = ("vp/cifar10_ddpmpp_continuous", "vp/cifar10_ddpmpp_deep_continuous")
_COMMUNICATION = r" (all-gather|all-reduce|reduce-scatter|all-to-all)(?:-start)?\("


def devices_of(topology: str | None) -> list[jax.Device]:
    """Those of a TPU topology, described, or those that are there."""
    if topology is None:
        return jax.devices()
    # Else the compiler's library looks for the machine that it is on, and waits.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    from jax.experimental import topologies

    return topologies.get_topology_desc(topology_name=topology, platform="tpu").devices


def compile_step(config, mesh, batch_size: int):
    """The compiled training step of a config, of what nothing is drawn."""
    experiment = scoresde.build(config)
    objective = experiment.make_objective(experiment.codec_without_data)
    rules = training.fsdp_rules(mesh)

    def loss_fn(params, key, batch):
        return objective(params, key, batch["image"], None, train=True), {}

    largest = largest_packed(mesh.devices.flat[0].platform)

    def draw(params):
        optimizer, averages = experiment.optimizer, experiment.averages
        state = training.create_state(jax.random.key(0), params, optimizer, averages)
        packs = experiment.elementwise and not rules
        return training.packed(state, largest) if packs else state

    def there(leaf, sharding):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    state = jax.eval_shape(draw, experiment.abstract_params)
    state = jax.tree.map(there, state, state_shardings(mesh, state, rules))
    images = jax.ShapeDtypeStruct((1, batch_size, *experiment.shape), jnp.uint8)
    batch = {"image": there(images, training.batch_sharding(mesh, axis=1))}
    step = training.make_train_step(
        loss_fn,
        experiment.optimizer,
        mesh,
        averages=experiment.averages,
        rules=rules,
        side_by_side=not experiment.recomputes,
    )
    return step.lower(state, batch).compile()


def main() -> None:
    """Prints the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topology", help="of TPUs, as v5p:2x2x2, v5e:2x4")
    parser.add_argument("--configs", nargs="+", default=CONFIGS)
    parser.add_argument("--dtypes", nargs="+", default=("float32", "bfloat16"))
    parser.add_argument("--remat", nargs="+", type=int, default=(0, 1), choices=(0, 1))
    parser.add_argument("--fsdp", nargs="+", type=int, default=(1, 8), help="devices")
    parser.add_argument("--batch", type=int, default=128, help="images on each device")
    parser.add_argument("--nf", type=int, help="of a smaller network")
    arguments = parser.parse_args()
    if arguments.topology is None:
        scoresde.configure()
    jax.config.update("jax_exec_time_optimization_effort", -1.0)
    devices = devices_of(arguments.topology)
    print(
        f"{devices[0].device_kind}, JAX {jax.__version__}, {arguments.batch} images a device\n\n"
        "| network | type | remat | fsdp | state, GB | temporaries, GB | both | communication |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for name, dtype, remat, fsdp in itertools.product(
        arguments.configs, arguments.dtypes, arguments.remat, arguments.fsdp
    ):
        config = scoresde.load_config(name)
        with config.unlocked():
            config.network.update({"dtype": dtype, "remat": bool(remat)})
            if arguments.nf:
                config.network.nf = arguments.nf
        mesh = training.make_mesh(devices[:fsdp], fsdp=fsdp)
        start = time.perf_counter()
        try:
            compiled = compile_step(config, mesh, arguments.batch * fsdp)
        except jax.errors.JaxRuntimeError as error:  # more than the device has
            words = " ".join(str(error).split())[:120]
            print(f"| {name} | {dtype} | {remat} | {fsdp} | {words} |", flush=True)
            continue
        memory = compiled.memory_analysis()
        state = memory.argument_size_in_bytes / 1e9
        temporary = (
            memory.temp_size_in_bytes
            + memory.output_size_in_bytes
            - memory.alias_size_in_bytes  # what is written over the state
        ) / 1e9
        found = collections.Counter(re.findall(_COMMUNICATION, compiled.as_text()))
        words = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items())) or "none"
        cells = f"{state:.2f} | {temporary:.2f} | {state + temporary:.2f} | {words}"
        print(f"| {name} | {dtype} | {'yes' if remat else 'no'} | {fsdp} | {cells} |", flush=True)
        print(f"# compiled in {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
