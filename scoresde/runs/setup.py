"""What training an experiment takes, made of its config before anything is written."""

import dataclasses
from typing import Any

import jax
import numpy as np

from scoresde import data, jobs, training
from scoresde.experiment import Experiment, build, with_defaults
from scoresde.networks import cost
from scoresde.registry import UsageError
from scoresde.runs.tracking import check_installed


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """What training an experiment takes, made and checked before anything is written.

    Attributes:
        experiment: what the config says.
        mesh: the devices.
        rules: where the state lies on the mesh.
        state: before the first step, packed where that is the same.
        train_step: the compiled step.
        loader: of the training batches.
        eval_key: of the evaluations on the way.
        sample_key: of the samples on the way.
    """

    experiment: Experiment
    mesh: jax.sharding.Mesh
    rules: Any
    state: training.TrainState
    train_step: training.TrainStep
    loader: data.Loader
    eval_key: jax.Array
    sample_key: jax.Array

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.state.params))


def set_up(config: Any, steps_per_dispatch: int | None = None) -> TrainingSetup:
    """Makes what training takes, and knows that it all fits: config, data, network and devices.

    Args:
        config: as `scoresde.build` takes it.
        steps_per_dispatch: instead of the config's.

    Raises:
        UsageError: what does not fit; or, on all processes, that they were given different configs
            or have different numbers of devices.
    """
    experiment = build(config)
    _check_processes(config)
    _check_classes(experiment)
    check_installed(experiment.training.wandb)
    settings = experiment.training
    mesh = training.make_mesh(fsdp=settings.fsdp)
    rules = training.fsdp_rules(mesh, settings.fsdp_from)
    steps = settings.steps_per_dispatch if steps_per_dispatch is None else steps_per_dispatch
    training.check_divisible(settings.batch_size, mesh, settings.accumulate)
    split, source = experiment.source.splits["train"], experiment.source
    if settings.eval_every:
        _check_test_images(source, mesh)
    init_key, train_key, eval_key, sample_key = jax.random.split(jax.random.key(experiment.seed), 4)
    loss_fn = experiment.loss_fn()

    def new_state() -> training.TrainState:
        state = training.create_state(
            train_key,
            experiment.init(init_key),
            experiment.optimizer,
            experiment.averages,
            experiment.init_memory(),
        )
        return training.packed(state) if experiment.elementwise and not rules else state

    state = training.created_on(mesh, new_state, rules)
    train_step = training.make_train_step(
        loss_fn,
        experiment.optimizer,
        mesh,
        averages=experiment.averages,
        rules=rules,
        steps_per_dispatch=steps,
        accumulate=settings.accumulate,
        project=experiment.project,
        side_by_side=not experiment.recomputes,
    )
    loader = make_loader(experiment, settings.batch_size, steps, experiment.flip)
    batch = split.batch(slice(0, 2))
    # Does the network take them?
    jax.eval_shape(loss_fn, experiment.abstract_params, train_key, batch)
    return TrainingSetup(
        experiment=experiment,
        mesh=mesh,
        rules=rules,
        state=state,
        train_step=train_step,
        loader=loader,
        eval_key=eval_key,
        sample_key=sample_key,
    )


def make_loader(
    experiment: Experiment, batch_size: int, steps_per_dispatch: int, flip: bool
) -> data.Loader:
    """This process's part of the training batches."""
    return data.Loader(
        experiment.source.splits["train"],
        batch_size // jax.process_count(),
        seed=experiment.seed,
        flip=flip,
        steps=steps_per_dispatch,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def flops_of_step(experiment: Experiment) -> int:
    """Operations of convolutions and matrix products in a step, forward and back, of all devices.

    Counted from the traced loss, see `scoresde.networks.cost`.
    """
    loss_fn, size = experiment.loss_fn(), experiment.training.batch_size
    rows = experiment.source.splits["train"].batch(slice(0, 1))
    batch = {
        name: jax.ShapeDtypeStruct((size, *array.shape[1:]), np.asarray(array).dtype)
        for name, array in rows.items()
    }
    memory = experiment.init_memory()
    given = {} if memory is None else {"memory": memory}

    def gradient(params, key, batch, given):
        return jax.grad(lambda params: loss_fn(params, key, batch, **given)[0])(params)

    key = jax.eval_shape(lambda: jax.random.key(0))
    return cost.estimate(gradient, experiment.abstract_params, key, batch, given).flops


def nouns(experiment: Experiment) -> str:
    """What its data are, in a word."""
    return "images" if experiment.codec.of_images else "samples"


def devices_words(mesh: jax.sharding.Mesh) -> str:
    """How many there are, and of whom."""
    processes, share = jax.process_count(), mesh.shape.get(training.FSDP_AXIS, 1)
    words = f"{mesh.size} device(s)"
    words += f" of {processes} processes" if processes > 1 else ""
    return words + (f", the state over {share} of them" if share > 1 else "")


def _check_processes(config: Any) -> None:
    if jax.process_count() > 1:
        of_each = "the number of a process's devices"
        jobs.check_alike({"config": with_defaults(config), of_each: jax.local_device_count()})


def _check_classes(experiment: Experiment) -> None:
    classes = getattr(experiment.network, "num_classes", None)
    if classes and "label" not in experiment.condition:
        raise UsageError(
            f"The network has {classes} classes and training would never tell it one: set "
            "config.data.labels=True, or leave out num_classes and label_dropout."
        )


def _check_test_images(source: data.Source, mesh: jax.sharding.Mesh) -> None:
    images = len(source.splits["test"]) if "test" in source.splits else 0
    if images < mesh.size:
        raise UsageError(
            f"The data {source.name!r} have {images} test images for {mesh.size} device(s): "
            "set --config.training.eval_every=0."
        )
