"""A small problem to train on: a denoiser of 4-d points, in plain JAX."""

import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from scoresde import training

BATCH_SIZE = 16
DIMENSION = 4


class ToyLoader:
    """Batches that are a function of their number, and of nothing else."""

    def __init__(self, steps=1, batch_size=BATCH_SIZE, sleep=0.0, bad_steps=()):
        self.steps, self.batch_size, self.sleep = steps, batch_size, sleep
        self.bad_steps = bad_steps  # counted from 1; one number in their batches is NaN
        self.position = 0

    def __next__(self):
        time.sleep(self.sleep)
        self.position += 1
        first = (self.position - 1) * self.steps
        batches = [np.random.default_rng(first + i) for i in range(self.steps)]
        images = np.stack([rng.normal(size=(self.batch_size, DIMENSION)) for rng in batches])
        images = images.astype(np.float32)
        for step in self.bad_steps:
            if first < step <= first + self.steps:
                images[step - 1 - first, 0, 0] = np.nan
        share = self.batch_size // jax.process_count()
        start = jax.process_index() * share
        return {"image": images[:, start : start + share]}

    def get_state(self):
        return {"position": self.position}

    def set_state(self, state):
        self.position = state["position"]


def make_params(seed=0, width=16):
    first, second = jax.random.split(jax.random.key(seed))
    return {
        "in": {
            "kernel": 0.5 * jax.random.normal(first, (DIMENSION, width)),
            "bias": jnp.zeros(width),
        },
        "out": {
            "kernel": 0.3 * jax.random.normal(second, (width, DIMENSION)),
            "bias": jnp.zeros(DIMENSION),
        },
    }


def apply(params, x):
    hidden = jax.nn.swish(x @ params["in"]["kernel"] + params["in"]["bias"])
    return hidden @ params["out"]["kernel"] + params["out"]["bias"]


def loss_fn(params, key, batch):
    """Mean squared error of the denoiser at noise of scale 0.5."""
    error = _errors(params, key, batch, 0.5)
    return jnp.mean(error), {"worst": jnp.max(error)}


def _errors(params, key, batch, scale):
    x = batch["image"]
    z = jax.random.normal(key, x.shape)
    return jnp.mean((apply(params, x + scale * z) - x) ** 2, axis=-1)


def remembering(params, key, batch, memory=None):
    """The same at noise of a scale by the last batch's errors, which are remembered."""
    if memory is None:
        return loss_fn(params, key, batch)
    scale = 0.5 + 0.2 * jnp.tanh(jnp.mean(memory["errors"]))
    error = _errors(params, key, batch, scale)
    memory = {"errors": jax.lax.stop_gradient(error), "seen": memory["seen"] + 1}
    return jnp.mean(error), {"worst": jnp.max(error)}, memory


MEMORY = {"errors": np.zeros(BATCH_SIZE, np.float32), "seen": np.int32(0)}


def make_optimizer():
    return training.make_optimizer("adam", 1e-2, warmup=10)


def factored():
    """An optimizer whose state is not like the parameters."""
    return training.make_optimizer("adafactor", 1e-2, warmup=10, min_dim_size_to_factor=4)


SPLIT = [("in/kernel", PartitionSpec(None, "data"))]  # the columns of a kernel, over the devices
AVERAGES = {"ema": training.EMA(rate=0.9, warmup="inverse")}


def make_state(seed=0, averages=AVERAGES, memory=None, optimizer=None, **options):
    optimizer = make_optimizer() if optimizer is None else optimizer
    return training.create_state(
        jax.random.key(seed), make_params(**options), optimizer, averages, memory
    )


def run(
    workdir,
    num_steps,
    *,
    steps=1,
    sleep=0.0,
    bad_steps=(),
    mesh=None,
    averages=AVERAGES,
    rules=(),
    memory=None,
    optimizer=None,
    **options,
):
    """Trains in `workdir`, writes the parameters to `final.npz`, and returns the state."""
    mesh = training.make_mesh() if mesh is None else mesh
    train_step = training.make_train_step(
        loss_fn if memory is None else remembering,
        make_optimizer() if optimizer is None else optimizer,
        mesh,
        averages=averages,
        rules=rules,
        steps_per_dispatch=steps,
    )
    loader = ToyLoader(steps, sleep=sleep, bad_steps=bad_steps)
    options = {"log_every": 3, "checkpoint_every": 10, **options}
    state = training.train(
        make_state(averages=averages, memory=memory, optimizer=optimizer),
        train_step,
        loader,
        mesh=mesh,
        workdir=workdir,
        num_steps=num_steps,
        rules=rules,
        **options,
    )
    if jax.process_index() == 0:
        np.savez(pathlib.Path(workdir) / "final.npz", **arrays(state))
    return state


def dispatch(mesh, train_step, dispatches, steps, averages=AVERAGES):
    """State and metrics after some calls of a train step, each of so many steps."""
    state, loader = training.place(mesh, make_state(averages=averages)), ToyLoader(steps)
    history = []
    for _ in range(dispatches):
        state, metrics = train_step(state, training.shard_batch(mesh, next(loader), axis=1))
        history.append(jax.device_get(metrics))
    return state, {name: np.concatenate([row[name] for row in history]) for name in history[0]}


def eval_loss(state):
    """The averaged parameters' loss on the first batch."""
    mesh = training.make_mesh()
    batch = training.shard_batch(mesh, {"image": next(ToyLoader())["image"][0]})
    eval_step = training.make_eval_step(loss_fn, mesh)
    return float(eval_step(state, jax.random.key(1), batch)["loss"])


def arrays(state):
    """All of a state but its key, as NumPy arrays by name."""
    tree = {
        "step": state.step,
        "params": state.params,
        "averages": state.averages,
        "opt_state": state.opt_state,
        "memory": state.memory,
        "skipped": state.skipped,
    }
    return {
        jax.tree_util.keystr(path): np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def is_key(leaf):
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def assert_equal(left, right):
    """Two dictionaries of arrays are the same, bit for bit."""
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def log_text(workdir):
    return (pathlib.Path(workdir) / "metrics.jsonl").read_text()
