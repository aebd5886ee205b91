"""What the training loop costs beside its compiled step, and what a checkpoint costs.

Example:
  python experiments/bench/training.py --config vp/digits --steps 50 --rounds 20

The run of a config trains as `scoresde train` does, log and all; every so many steps it is halted,
and the bare compiled step makes as many on a batch that lies on the device. So both take turns. The
loader makes a few batches ahead meanwhile, which it may also do while a device is busy.

A checkpoint halts the loop while its arrays are copied to the host, and is written in the
background. Beside the config's own state it is measured with one of another config's size, whose
numbers are random; its step is not compiled.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from timing import machine

from scoresde import build, configure, load_config, training
from scoresde.runs.setup import set_up


class Waits:
    """A loader that notes how long each batch was waited for."""

    def __init__(self, loader):
        self._loader, self.seconds = loader, 0.0
        self.get_state, self.set_state = loader.get_state, loader.set_state

    def __next__(self):
        start = time.perf_counter()
        batches = next(self._loader)
        self.seconds += time.perf_counter() - start
        return batches


def take_turns(config, steps: int, rounds: int, workdir: pathlib.Path):
    """Seconds a turn of the loop, of the bare step, of waits for data, of own work; the last state.

    The loop's own work is the main thread's processor time beyond the bare step's.
    """
    setup = set_up(config, steps_per_dispatch=1)
    loader, settings = Waits(setup.loader), setup.experiment.training
    batch = training.shard_batch(setup.mesh, next(setup.loader), axis=1)
    packs = setup.experiment.elementwise and not setup.rules  # as `set_up` does
    loop, bare, waits, work, held = [], [], [], [], []
    since = since_work = 0.0

    def turn(step, state):
        nonlocal since, since_work
        worked = time.thread_time() - since_work
        if step > steps:  # the first is of the compilation
            loop.append(time.perf_counter() - since)
            waits.append(loader.seconds)
        if not held:
            copy = jax.tree.map(jnp.copy, state)
            held.append(training.packed(copy) if packs else copy)
        start, start_work = time.perf_counter(), time.thread_time()
        for _ in range(steps):
            held[0], metrics = setup.train_step(held[0], batch)
        jax.block_until_ready(metrics)
        bare.append(time.perf_counter() - start)
        work.append(worked - (time.thread_time() - start_work))
        loader.seconds, since, since_work = 0.0, time.perf_counter(), time.thread_time()

    state = training.train(
        setup.state,
        setup.train_step,
        loader,
        mesh=setup.mesh,
        rules=setup.rules,
        workdir=workdir,
        num_steps=steps * (rounds + 1),
        log_every=settings.log_every,
        checkpoint_every=10**9,
        callbacks=[(steps, turn)],
        learning_rate=setup.experiment.learning_rate,
    )
    return loop, bare[1:], waits, work[1:], state


def pauses(state, directory: pathlib.Path, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds for which saving a state halts the loop, and until it is on disk."""
    halted, written = [], []
    with training.Checkpoints(directory, keep=1) as checkpoints:
        for number in range(rounds + 1):
            start = time.perf_counter()
            checkpoints.save(number, state)
            halted.append(time.perf_counter() - start)
            checkpoints.wait()
            written.append(time.perf_counter() - start)
    return halted[1:], written[1:]  # the first makes what the others use


def random_state(config):
    """A state of a config's network and optimizer, and its bytes."""
    experiment = build(config)
    rng = np.random.default_rng(0)

    def draw(leaf):
        return jnp.asarray(rng.standard_normal(leaf.shape, np.float32))

    params = jax.tree.map(draw, experiment.abstract_params)
    state = training.create_state(
        jax.random.key(0), params, experiment.optimizer, experiment.averages
    )
    arrays = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return state, sum(leaf.nbytes for leaf in arrays)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="vp/digits")
    parser.add_argument("--large", default="vp/cifar10_ddpmpp_continuous", help="of a checkpoint")
    parser.add_argument("--steps", type=int, default=50, help="in a turn")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--saves", type=int, default=5)
    arguments = parser.parse_args()
    configure()

    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        config, steps = load_config(arguments.config), arguments.steps
        loop, bare, waits, work, state = take_turns(config, steps, arguments.rounds, place / "run")
        step = statistics.median(bare) / steps
        over = sorted(a / b - 1 for a, b in zip(loop, bare))
        low, middle, high = statistics.quantiles(over, n=4)
        print(f"\n{machine()}; {arguments.config}, {arguments.rounds} turns of {steps} steps\n")
        own = statistics.median(work) / steps
        print("| | |\n|---|---|")
        print(f"| a bare step, ms | {1e3 * step:.1f} |")
        print(f"| the loop over it, of the quickest turns | {min(loop) / min(bare) - 1:+.1%} |")
        quartiles = f"{middle:+.1%}, {low:+.1%} to {high:+.1%}"
        print(f"| of neighboring turns, median and quartiles | {quartiles} |")
        print(f"| the loop's own work a step, processor ms | {1e3 * own:.2f} |")
        print(f"| waiting for data, of the loop | {sum(waits) / sum(loop):.2%} |")
        large, count = random_state(load_config(arguments.large))
        for name, saved in ((arguments.config, state), (arguments.large, large)):
            halted, written = pauses(saved, place / name.replace("/", "_"), arguments.saves)
            print(
                f"| a checkpoint of {name}: the loop halts for, until it is on disk, ms | "
                f"{1e3 * statistics.median(halted):.0f}, {1e3 * statistics.median(written):.0f} |"
            )
        print(f"\nThe state of {arguments.large} has {count / 1e9:.2f} GB.")


if __name__ == "__main__":
    main()
