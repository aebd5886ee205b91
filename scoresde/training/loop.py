"""The training loop: data in, checkpoints and a log out, and an exact way back in."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from scoresde import files
from scoresde.jobs import agreed, by_first, check_shared, picture, say
from scoresde.registry import UsageError
from scoresde.training import lock
from scoresde.training.checkpoints import Checkpoints
from scoresde.training.clock import StepClock
from scoresde.training.interruption import Interruption
from scoresde.training.journal import Dispatch, Journal
from scoresde.training.log import LogWriter, NoLossesError, Tracker, plot_loss
from scoresde.training.mesh import check_batch, shard_batch
from scoresde.training.packing import state_packed_as, unpacked
from scoresde.training.profile import Profile
from scoresde.training.progress import TrainingProgress
from scoresde.training.sharding import Rules, place
from scoresde.training.state import TrainState

PyTree = Any
TrainStep = Callable[[TrainState, PyTree], tuple[TrainState, dict[str, jax.Array]]]
Callback = Callable[[int, TrainState], Mapping[str, float] | None]


class BatchIterator(Protocol):
    """An endless iterator over batches, whose position can be saved."""

    def __next__(self) -> dict[str, np.ndarray]:
        """Arrays [steps, batch, ...]: the batches of one dispatch, this process's part of each."""
        ...

    def get_state(self) -> Any:
        """The position, as something JSON can hold; the same on every process."""
        ...

    def set_state(self, state: Any) -> None:
        """Goes to a position that `get_state` gave."""
        ...


def _check(least: int = 1, **counts: int) -> None:
    for name, value in counts.items():
        if value < least:
            raise UsageError(f"{name} must be at least {least}, not {value}.")


def _check_stacked(batches: PyTree) -> None:
    """Refuses the batch of one step where the batches of a dispatch are due."""
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(batches)]
    if any(len(shape) < 2 for shape in shapes) or len({shape[:2] for shape in shapes}) > 1:
        raise UsageError(
            "train() needs the batches of a dispatch stacked, arrays [steps, batch, ...], and the "
            f"loader gave {', '.join(str(list(shape)) for shape in shapes)}: give data.Loader "
            "steps=1, or as many as make_train_step has steps_per_dispatch."
        )


def _check_parameters(metrics: Mapping[str, Any], step: int, directory: pathlib.Path) -> None:
    """Refuses to go on, or to keep, what a sound gradient has made of the parameters."""
    norm = metrics.get("param_norm")
    if norm is not None and not np.isfinite(np.asarray(norm)[-1]):
        raise UsageError(
            f"The parameters are not finite at step {step}, by an update or more whose gradients "
            "were: nothing is kept of them. Lower the learning rate or choose another optimizer, "
            f"then resume from the last checkpoint in {directory}, or start anew."
        )


def train(
    state: TrainState,
    train_step: TrainStep,
    loader: BatchIterator,
    *,
    mesh: Mesh,
    workdir: str | pathlib.Path,
    num_steps: int,
    rules: Rules = (),
    log_every: int = 50,
    checkpoint_every: int = 10_000,
    keep: int | None = 2,
    keep_every: int | None = 50_000,
    max_skipped_in_a_row: int = 10,
    callbacks: Sequence[tuple[int, Callback]] = (),
    strict: bool = False,
    learning_rate: Callable[[int], Any] | None = None,
    profile: tuple[int, int] | None = None,
    tracker: Tracker | None = None,
    peak_flops: float | None = None,
    step_flops: Callable[[], float] | None = None,
) -> TrainState:
    """Trains to `num_steps`, from the latest checkpoint in `workdir` if there is one.

    A resumed run goes on as if it had never stopped: its state, data and log are the same, bit for
    bit on the same devices (XLA's GPU kernels add in a fixed order only under the environment
    variable XLA_FLAGS=--xla_gpu_deterministic_ops=true). SIGTERM and Ctrl-C make it save a
    checkpoint and return early.

    What is due every so many steps happens at the end of the first dispatch (one call of
    `train_step`, several steps perhaps) that reaches a multiple: first the callbacks, then the
    checkpoint. The run ends at the first dispatch that reaches `num_steps`. The log is exact: it
    holds the multiples of `log_every`, however the steps are dispatched.

    A step whose loss or gradient is not finite is skipped, said and counted; its line of the log
    lacks what is not finite.

    Checkpoints that are damaged are moved to `checkpoints/damaged/`, which a line says, and the run
    goes on from the latest that is whole.

    In `workdir`: `checkpoints/`, `metrics.jsonl`, `tensorboard/`, and `loss.png` at the end.

    Args:
        state: where a new run starts, as made by `create_state` or `packed`; its memory is reused.
        train_step: as made by `make_train_step`.
        loader: the data, as `scoresde.data.Loader` with `steps` gives it.
        mesh: the devices that `train_step` was made for.
        workdir: directory of the run.
        num_steps: length of the run, counted from step 0 also when resuming.
        rules: where the state lies on the mesh; those that `train_step` was made with.
        log_every: in steps.
        checkpoint_every: in steps.
        keep: see `Checkpoints`.
        keep_every: see `Checkpoints`.
        max_skipped_in_a_row: how many steps in a row may be skipped, since their loss or gradient
            is not finite (see `make_train_step`), before the run stops; 0 stops it at the first.
        callbacks: pairs of a number of steps and a `function(step, state)`, which may return
            scalars for the log. It must not keep the state: the next dispatch reuses its memory.
        strict: refuse to go on where the latest checkpoint is damaged; nothing is moved.
        learning_rate: the number of updates made -> the rate of the next one, for the log.
        profile: (start, stop), steps whose trace goes to `profile/`, see `Profile`.
        tracker: a `function(step, scalars)` that is told what TensorBoard is, on the first process.
        peak_flops: see `scoresde.training.clock`, as for step_flops.
        step_flops: operations of a step, for the share of the peak.

    Returns:
        The last state, unpacked; its step is below `num_steps` if the run was told to stop.

    Raises:
        UsageError: impossible arguments, mesh or rules; another process trains in `workdir`; a
            checkpoint that is damaged, with no earlier one or if `strict`, of another model or of
            other averages; data that ends, is not stacked for the dispatches or does not fit the
            devices; a loss or gradient that is not finite, more often in a row than
            `max_skipped_in_a_row`; parameters that are not; a `workdir` that is full, read-only or
            gone, or not the same for all processes.
    """
    _check(num_steps=num_steps, log_every=log_every, checkpoint_every=checkpoint_every)
    _check(least=0, max_skipped_in_a_row=max_skipped_in_a_row)
    _check(**{f"The interval of callback {i}": every for i, (every, _) in enumerate(callbacks)})
    workdir = pathlib.Path(workdir)
    # checkpoints/ is made before the log, so that a run killed before its first checkpoint has it.
    if (workdir / "metrics.jsonl").exists() and not (workdir / "checkpoints").exists():
        raise UsageError(
            f"{workdir} has the log of a run but not its checkpoints. Put its checkpoints/ back, "
            "or give another workdir."
        )
    checkpoints = Checkpoints(workdir / "checkpoints", keep=keep, keep_every=keep_every)
    with files.writing(checkpoints.directory):
        checkpoints.directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        by_first(lambda: stack.enter_context(lock.exclusive(checkpoints.directory)))
        check_shared(checkpoints.directory)
        stack.enter_context(checkpoints)
        if not strict:
            by_first(lambda: [say(f"Warning: {line}") for line in checkpoints.set_aside_damaged()])
        state = place(mesh, state, rules)
        latest = checkpoints.latest_step()
        saved = None if (step := int(agreed(-1 if latest is None else latest))) < 0 else step
        if saved is not None:
            restored, extra = checkpoints.restore(unpacked(state), saved)
            state = state_packed_as(state, restored)
            del restored
            loader.set_state(extra["loader"])
        step = int(state.step)
        writer = stack.enter_context(LogWriter(workdir, resume_step=step, also=tracker))
        progress = stack.enter_context(TrainingProgress(step, num_steps))
        interruption = stack.enter_context(Interruption())
        clock = StepClock(mesh.local_devices[0], peak_flops, step_flops)
        trace = profile and stack.enter_context(Profile(profile, workdir, progress, step))
        journal = Journal(
            writer=writer,
            progress=progress,
            clock=clock,
            log_every=log_every,
            learning_rate=learning_rate,
            max_skipped=max_skipped_in_a_row,
            skipped_in_a_row=int(state.skipped[1]),
            remedy="Lower the learning rate, warm it up for longer or clip the gradient, then "
            f"resume from the last checkpoint in {checkpoints.directory}, or start anew.",
        )
        if saved is not None:
            progress.message(f"Resuming from {checkpoints.directory / str(saved)}.")

        def save() -> None:
            writer.flush()  # a checkpoint never knows more steps than the log
            checkpoints.save(step, state, {"loader": loader.get_state()})

        metrics = {}
        first = step
        while step < num_steps and not interruption.requested(step):
            with clock.waiting():
                batches = next(loader, None)
            if batches is None:
                raise UsageError(
                    f"The data ended at step {step} of {num_steps}; use a loader that repeats it."
                )
            _check_stacked(batches)
            check_batch(mesh, batches, axis=1)
            steps, batch_size = np.shape(jax.tree.leaves(batches)[0])[:2]
            if jax.process_count() > 1:  # else the step puts it on its devices, in half the time
                batches = shard_batch(mesh, batches, axis=1)
            if step == first:
                progress.compiling("the train step")
            if trace:
                trace.before(step, state)
            start = time.perf_counter()
            state, metrics = train_step(state, batches)  # returns while the device works
            if step == first:
                progress.compiled("the train step", time.perf_counter() - start)
            before, step = step, step + steps
            images = steps * batch_size * jax.process_count()
            journal.follow(Dispatch(step=step, images=images, metrics=metrics))
            if trace:
                trace.after(step, metrics)
            due = [f for every, f in callbacks if step // every > before // every]
            save_due = step // checkpoint_every > before // checkpoint_every
            if due or save_due:
                journal.catch_up()
                _check_parameters(metrics, step, checkpoints.directory)
            checkpoints.check()
            if due:
                writer.check()
            for function in due:
                if logged := function(step, unpacked(state)):
                    writer.write(step, logged)
            if save_due:
                save()
                saved = step

        journal.catch_up()
        if saved != step:
            _check_parameters(metrics, step, checkpoints.directory)
            save()
        checkpoints.wait()
        if jax.process_index() == 0:
            # A run may be too short to have logged anything.
            with picture(workdir / "loss.png"), contextlib.suppress(NoLossesError):
                plot_loss(workdir)
        if step < num_steps:
            progress.message(
                f"Stopped by {interruption.signal_name} at step {step} of {num_steps}; the "
                f"checkpoint is in {checkpoints.directory}. Started again as it was, the run goes "
                "on from there."
            )
        else:
            progress.message(
                f"Finished step {step}; the checkpoints are in {checkpoints.directory}."
            )
    return unpacked(state)
