"""Train a variational dequantiser for a trained score model.

Example:
  scoresde train-dequantizer --workdir runs/digits --num_steps 1000
  scoresde likelihood --workdir runs/digits --dequantizer flow

A conditional flow learns the noise within the bins under which the frozen model (its EMA) explains
the images best. config.dequantizer says what the flow is and how it is trained. Everything is in
DIR/dequantizer/. A run that was stopped goes on exactly where it was, as `scoresde train` does.
"""

import argparse
import json

from scoresde import files
from scoresde.cli.arguments import add_workdir, config_from_workdir
from scoresde.registry import UsageError

# What may differ when a run goes on.
_MAY_CHANGE = ("num_steps", "log_every", "checkpoint_every", "keep", "keep_every")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_workdir(parser)
    parser.add_argument("--num_steps", type=int, help="length; config.dequantizer.num_steps")
    parser.add_argument("--step", type=int, help="score checkpoint to load; the latest")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Trains; see the module's docstring. Returns 130 if the run was told to stop early."""

    import jax

    from scoresde import build, data, training
    from scoresde.dequantization.objective import bound_loss

    workdir = arguments.workdir
    directory = workdir / "dequantizer"
    config = config_from_workdir(workdir, overrides)
    if arguments.num_steps is not None:
        with config.unlocked():
            config.dequantizer.num_steps = arguments.num_steps
    experiment = build.experiment(config)
    settings = experiment.settings["dequantizer"]
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    record = directory / "dequantizer.json"
    step = arguments.step
    if step is None and record.exists():  # the score model may have been trained on since
        step = files.read_json(record)["score_step"]
    step = checkpoints.latest_step() if step is None else step
    score_params = checkpoints.restore_params(step, abstract_params=experiment.abstract_params)

    mesh = training.make_mesh()
    batch_size = settings["batch_size"]
    training.check_divisible(batch_size, mesh, settings["accumulate"])
    source = experiment.source
    key = jax.random.fold_in(jax.random.key(experiment.seed), 1)  # not that of the score model
    init_key, train_key = jax.random.split(key)
    network = experiment.dequantizer_network()
    params = network.init(init_key, experiment.image_shape)
    optimizer = experiment.dequantizer_optimizer()
    if jax.process_index() == 0:
        likelihood_t_min = experiment.settings["likelihood"]["t_min"]
        _save_record(record, {"score_step": step, "t_min": likelihood_t_min, **settings})

    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    print(f"{count:,} parameters, {len(source.splits['train']):,} images.", flush=True)
    denoiser = experiment.denoiser(
        training.replicate(mesh, score_params), experiment.settings["likelihood"]["t_min"]
    )
    loss_fn = bound_loss(
        network,
        bins=source.bins,
        data_range=experiment.data_range,
        condition=experiment.condition,
    )
    train_step = training.make_train_step(
        loss_fn,
        optimizer,
        mesh,
        ema_rate=settings["ema_rate"],
        steps_per_dispatch=settings["steps_per_dispatch"],
        accumulate=settings["accumulate"],
        frozen=denoiser,
    )
    loader = data.Loader(
        source.splits["train"],
        batch_size // jax.process_count(),
        seed=experiment.seed,
        flip=experiment.settings["data"]["flip"],
        steps=settings["steps_per_dispatch"],
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    state = training.train(
        training.create_state(train_key, params, optimizer),
        train_step,
        loader,
        mesh=mesh,
        workdir=directory,
        **{key: settings[key] for key in _MAY_CHANGE},
    )
    return 0 if int(state.step) >= settings["num_steps"] else 130


def _save_record(path, wanted):
    """Records what is trained, or checks that the run there is the same."""
    wanted = json.loads(json.dumps(wanted))
    if path.exists():
        found = files.read_json(path)
        may_change = set(_MAY_CHANGE)
        if wanted["optimizer"].get("schedule", "constant") != "constant":
            may_change.remove("num_steps")  # the learning rate at each step depends on it
        for key in sorted(wanted.keys() | found.keys()):
            if key not in may_change and found.get(key) != wanted.get(key):
                raise UsageError(
                    f"{path.parent} holds another dequantiser: {key} is {found.get(key)!r} there, "
                    f"{wanted.get(key)!r} here. Give the options it has, or move it away."
                )
    files.write_json(path, wanted)
