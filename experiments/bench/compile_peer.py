"""Until a training step runs: ours beside the same step with score_sde's own JAX network.

Example:
  git clone https://github.com/yang-song/score_sde peers/score_sde
  python experiments/bench/compile_peer.py --peer peers/score_sde --rounds 2

Both networks are in the same step (denoising loss, clipping, Adam, average), ours with its state
packed, as a run has it, theirs also without the flags that `scoresde.configure()` sets for CPUs,
each in a process of its own, which compiles with an empty persistent cache (cold) and once more
with what is then in it (warm). Its modules of 2021 are imported as they are, in a Flax that has the
names which they only mention. Of `utils`, only `batch_mul` is needed here, and the TensorFlow that
it asks for is not.
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import types

PEERS = ("score_sde", "score_sde_configured")
"""Theirs with the flags that JAX comes with, and with those of `scoresde.configure()`."""


def their_network(path: pathlib.Path, config: str, nf: int | None, blocks: int | None):
    """score_sde's module as (init(key, x, t), apply(params, x, t, key))."""
    import importlib

    import flax
    import jax

    flax.optim = types.SimpleNamespace(Optimizer=object)
    utils = types.ModuleType("utils")
    utils.batch_mul = lambda a, b: jax.vmap(lambda a, b: a * b)(a, b)
    sys.modules["utils"] = utils
    sys.modules["models.wideresnet_noise_conditional"] = types.ModuleType("wideresnet")
    sys.path.insert(0, str(path))
    from models import ncsnpp

    chosen = importlib.import_module(f"configs.{config}").get_config()
    if nf:
        chosen.model.nf = nf
    if blocks:
        chosen.model.num_res_blocks = blocks
    module = ncsnpp.NCSNpp(config=chosen)

    def init(key, x, t):
        return module.init({"params": key, "dropout": key}, x, t)["params"]

    def apply(params, x, t, key):
        return module.apply({"params": params}, x, t, train=True, rngs={"dropout": key})

    return init, apply


def our_network(config: str, nf: int | None, blocks: int | None):
    """The same of ours."""
    from scoresde import build, load_config

    chosen = load_config(config.replace(".", "/"))
    if nf:
        chosen.network.nf = nf
    if blocks:
        chosen.network.num_res_blocks = blocks
    network = build(chosen).network

    def init(key, x, t):
        return network.init(key, x.shape[1:])

    def apply(params, x, t, key):
        return network.apply(params, x, t, train=True, rng=key)

    return init, apply


def compile_step(arguments: argparse.Namespace) -> dict:
    """Seconds of a step's parts, in this process, and its size."""
    import jax
    import jax.numpy as jnp

    import scoresde
    from scoresde import training

    if arguments.child == "score_sde":  # as JAX comes
        jax.config.update("jax_compilation_cache_dir", arguments.cache)
    else:
        scoresde.configure(arguments.cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    size = arguments.nf, arguments.blocks
    if arguments.child == "scoresde":
        init, apply = our_network(arguments.config, *size)
    else:
        init, apply = their_network(arguments.peer, arguments.config, *size)
    x = jax.ShapeDtypeStruct((arguments.batch, 32, 32, 3), jnp.float32)
    t = jax.ShapeDtypeStruct((arguments.batch,), jnp.float32)

    def loss_fn(params, key, batch):
        key_t, key_z, key_drop = jax.random.split(key, 3)
        x = batch["image"]
        t = jax.random.uniform(key_t, x.shape[:1])
        z = jax.random.normal(key_z, x.shape)
        output = apply(params, x + t[:, None, None, None] * z, 999 * t, key_drop)
        return jnp.mean(jnp.square(output + z)), {}

    averages = {"ema": training.EMA(rate=0.9999)}
    optimizer = training.make_optimizer()
    step = training.make_train_step(loss_fn, optimizer, training.make_mesh(), averages=averages)
    params = jax.eval_shape(init, jax.random.key(0), x, t)
    pack = training.packed if arguments.child == "scoresde" else lambda state: state
    state = jax.eval_shape(
        lambda params: pack(training.create_state(jax.random.key(0), params, optimizer, averages)),
        params,
    )
    batch = {"image": jax.ShapeDtypeStruct((1, *x.shape), jnp.float32)}
    marks = [time.perf_counter()]
    traced = step.trace(state, batch)
    marks.append(time.perf_counter())
    lowered = traced.lower()
    marks.append(time.perf_counter())
    compiled = lowered.compile()
    marks.append(time.perf_counter())
    trace, lower, build = (b - a for a, b in itertools.pairwise(marks))
    memory = compiled.memory_analysis()
    return {
        "trace": trace,
        "lower": lower,
        "compile": build,
        "total": trace + lower + build,
        "weights": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "lines": lowered.as_text().count("\n"),
        "temporaries": memory.temp_size_in_bytes,
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=pathlib.Path, metavar="CHECKOUT")
    parser.add_argument("--config", default="vp.cifar10_ddpmpp_continuous")
    parser.add_argument("--nf", type=int)
    parser.add_argument("--blocks", type=int)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", choices=("scoresde", *PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(compile_step(arguments)))
        return
    names = ["scoresde", *PEERS] if arguments.peer else ["scoresde"]
    found: dict[tuple[str, str], list[dict]] = {}
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    for _ in range(arguments.rounds):
        for name in names:
            with tempfile.TemporaryDirectory() as cache:
                for how in ("cold", "warm"):
                    command = [sys.executable, __file__, "--child", name, "--cache", cache]
                    output = subprocess.run(
                        command + sys.argv[1:],
                        **{"env": environment, "check": True, "stdout": subprocess.PIPE},
                    ).stdout
                    row = json.loads(output.splitlines()[-1])
                    found.setdefault((name, how), []).append(row)
                    print(name, how, {k: round(v, 2) for k, v in row.items()}, flush=True)
    parts = ("trace", "lower", "compile", "total")
    print("\n| step | cache | trace, s | lower, s | compile, s | total, s | lines of StableHLO |")
    print("|---|---|---|---|---|---|---|")
    middle = {}
    for (name, how), rows in found.items():
        middle[name, how] = [statistics.median(row[part] for row in rows) for part in parts]
        cells = " | ".join(f"{seconds:.1f}" for seconds in middle[name, how])
        print(f"| {name} | {how} | {cells} | {rows[0]['lines']:,} |")
    ours = middle["scoresde", "cold"][-1]
    print(f"\nwarm of cold: {middle['scoresde', 'warm'][-1] / ours:.2f}", end="")
    if arguments.peer:
        for name in PEERS:
            print(f"; of {name}, cold: {ours / middle[name, 'cold'][-1]:.2f}", end="")
    print()


if __name__ == "__main__":
    main()
