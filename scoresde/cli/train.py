"""Train a score model, or go on with the run in the work directory.

Example:
  scoresde train --config configs/vp/digits.py --workdir runs/digits --config.training.num_steps=500

The run can be stopped (Ctrl-C, SIGTERM, kill) and started again with the same command: it goes on
from its last checkpoint, exactly as if it had never stopped.
"""

import argparse

from scoresde.cli.arguments import add_workdir, config_from_file
from scoresde.cli.workdir import save_config
from scoresde.registry import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--config", required=True, metavar="FILE", help="Python file with get_config()"
    )
    add_workdir(parser)


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Trains; see the module's docstring. Returns 130 if the run was told to stop early."""
    import jax

    from scoresde import build, data, training
    from scoresde.cli.sampling import class_labels, draw

    config = config_from_file(arguments.config, overrides)
    experiment = build.experiment(config)
    settings = experiment.settings["training"]
    workdir = arguments.workdir

    mesh = training.make_mesh()
    batch_size, steps_per_dispatch = settings["batch_size"], settings["steps_per_dispatch"]
    training.check_divisible(batch_size, mesh, settings["accumulate"])
    source = experiment.source
    train_split = source.splits["train"]
    test_images = len(source.splits["test"]) if "test" in source.splits else 0
    if settings["eval_every"] and test_images < mesh.size:
        raise UsageError(
            f"The data {source.name!r} have {test_images} test images for {mesh.size} device(s): "
            "set --config.training.eval_every=0."
        )

    key = jax.random.key(experiment.seed)
    init_key, train_key, eval_key, sample_key = jax.random.split(key, 4)
    optimizer = experiment.optimizer()
    params = experiment.init(init_key)
    state = training.create_state(train_key, params, optimizer)
    train_step = training.make_train_step(
        experiment.loss_fn(),
        optimizer,
        mesh,
        ema_rate=settings["ema_rate"],
        ema_warmup=settings["ema_warmup"],
        steps_per_dispatch=steps_per_dispatch,
        accumulate=settings["accumulate"],
    )
    loader_options = {
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
    }
    loader = data.Loader(
        train_split,
        batch_size // jax.process_count(),
        seed=experiment.seed,
        flip=experiment.settings["data"]["flip"],
        steps=steps_per_dispatch,
        **loader_options,
    )
    batch = {"image": train_split.images[:2], "label": train_split.labels[:2]}
    jax.eval_shape(experiment.loss_fn(), params, train_key, batch)  # does the network take them?
    if jax.process_index() == 0:  # only now is anything written
        with training.exclusive(workdir / "checkpoints"):
            save_config(workdir, config)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    print(f"{count:,} parameters, {len(train_split):,} images, {mesh.size} device(s).", flush=True)
    callbacks = []

    if settings["eval_every"]:
        eval_step = training.make_eval_step(experiment.loss_fn(train=False), mesh)
        test_split = source.splits["test"]
        test_size = min(batch_size, len(test_split) // mesh.size * mesh.size)

        def evaluate(step, state):
            # One batch a time, a function of the step alone, so that a resumed log is the same.
            rows = (step // settings["eval_every"] * test_size) % (len(test_split) - test_size + 1)
            rows = slice(rows, rows + test_size)
            batch = test_split.batch(rows)
            batch = training.shard_batch(mesh, _own_rows(batch))
            metrics = eval_step(state, jax.random.fold_in(eval_key, step), batch)
            return {"eval_loss": metrics["loss"]}

        callbacks.append((settings["eval_every"], evaluate))

    if settings["sample_every"]:

        def grid(step, state):
            labels = class_labels(experiment, 64)
            images = draw(
                experiment, state.ema_params, sample_key, 64, mesh=mesh, labels=labels
            ).images
            if jax.process_index() == 0:
                path = workdir / "samples" / f"step_{step:08d}.png"
                data.save_grid(path, images, bins=source.bins)

        callbacks.append((settings["sample_every"], grid))

    state = training.train(
        state,
        train_step,
        loader,
        mesh=mesh,
        workdir=workdir,
        num_steps=settings["num_steps"],
        log_every=settings["log_every"],
        checkpoint_every=settings["checkpoint_every"],
        keep=settings["keep"],
        keep_every=settings["keep_every"],
        callbacks=callbacks,
    )
    return 0 if int(state.step) >= settings["num_steps"] else 130


def _own_rows(batch):
    """This process's equal part of a batch that every process holds whole."""
    import jax

    index, count = jax.process_index(), jax.process_count()
    return {
        name: rows[index * len(rows) // count : (index + 1) * len(rows) // count]
        for name, rows in batch.items()
    }
