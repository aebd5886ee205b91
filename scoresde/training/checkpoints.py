"""Checkpoints on disk: written in the background, restored onto any number of devices.

A checkpoint is a directory named by its step, with four items: `params`, `ema_params`, `training`
(step, key, optimiser state) and `extra` (JSON). Keeping the parameters apart lets a sampler read
the EMA without the other three quarters. A directory gets its name only once it is complete, so a
run that is killed while saving leaves its earlier checkpoints as they were.

This is the only file that knows Orbax.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers

from scoresde.registry import UsageError
from scoresde.training import checksums
from scoresde.training.state import TrainState

PyTree = Any

FORMAT = 1
ITEMS = ("params", "ema_params", "training", "extra")


@dataclasses.dataclass(frozen=True)
class _FirstOfEvery(checkpoint_managers.PreservationPolicy):
    """Keeps the first checkpoint at or after each multiple of `interval` steps.

    What it keeps does not change when the checkpoints that it does not keep are deleted.
    """

    interval: int

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        del context
        multiples = [info.step // self.interval for info in checkpoints]
        return [now > before for before, now in zip([0, *multiples], multiples)]


def _names(tree: PyTree) -> dict[str, Any]:
    """The leaves by the path to them, in the tree's order."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _training(state: TrainState) -> dict[str, PyTree]:
    """What only a resumed run needs."""
    return {"step": state.step, "key": state.key, "opt_state": state.opt_state}


def _arrays(state: TrainState) -> dict[str, PyTree]:
    """The items that hold arrays, from a state of concrete or abstract ones.

    The optimiser's containers are its library's affair, so `training` is stored flat, by path.
    """
    return {
        "params": state.params,
        "ema_params": state.ema_params,
        "training": _names(_training(state)),
    }


def _differences(wanted: PyTree, found: PyTree) -> str:
    """In words, how the arrays of two trees differ in name, shape or dtype; "" if they agree."""

    def describe(leaf: Any) -> str:
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):  # stored as its data
            leaf = jax.eval_shape(jax.random.key_data, leaf)
        return f"{leaf.dtype}{list(leaf.shape)}"

    wanted, found = _names(wanted), _names(found)
    words = []
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            words.append(f"it lacks {name}")
        elif name not in wanted:
            words.append(f"it also holds {name}")
        elif describe(wanted[name]) != describe(found[name]):
            words.append(f"{name} is {describe(found[name])}, not {describe(wanted[name])}")
    more = f" (and {len(words) - 3} more)" if len(words) > 3 else ""
    return "; ".join(words[:3]) + more


class Checkpoints:
    """The checkpoints of one run. Use it as a context manager, or call `close`.

    Reading needs no exclusive access: sampling from a run that is still training is safe.

    Args:
        directory: where they are; created at the first `save`.
        keep: how many of the latest are kept; None keeps all.
        keep_every: in steps; the first checkpoint at or after each multiple is kept for good.

    Raises:
        UsageError: `keep` or `keep_every` is less than 1.
    """

    def __init__(
        self,
        directory: str | pathlib.Path,
        *,
        keep: int | None = 2,
        keep_every: int | None = None,
    ):
        if (keep is not None and keep < 1) or (keep_every is not None and keep_every < 1):
            raise UsageError(
                f"keep ({keep}) and keep_every ({keep_every}) must be positive, or None."
            )
        self.directory = pathlib.Path(directory).absolute()
        self._policies = [checkpoint_managers.LatestN(keep)]
        if keep_every is not None:
            self._policies.append(_FirstOfEvery(keep_every))
        self._writer: ocp.CheckpointManager | None = None
        self._saving = -1

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def all_steps(self) -> list[int]:
        """The steps of the finished checkpoints, ascending."""
        return sorted(ocp.utils.checkpoint_steps(self.directory))

    def latest_step(self) -> int | None:
        """The last of `all_steps`, or None without any."""
        return max(self.all_steps(), default=None)

    def save(self, step: int, state: TrainState, extra: dict[str, Any] | None = None) -> None:
        """Copies the state to the host, then writes it in the background.

        Every process of a multi-process run must call it. An error in the background is raised by
        the next `save`, `wait` or `close`.

        Args:
            step: the checkpoint's name, normally `int(state.step)`.
            state: the state; it may be donated as soon as this returns.
            extra: anything JSON can hold, for instance the position of the data iterator.

        Raises:
            UsageError: there is a checkpoint of this step already.
        """
        if self._writer is None:
            self._writer = ocp.CheckpointManager(
                self.directory,
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=checkpoint_managers.AnyPreservationPolicy(self._policies),
                    cleanup_tmp_directories=True,  # what a killed run left unfinished
                    async_options=ocp.AsyncOptions(
                        post_finalization_callback=self._write_checksums
                    ),
                ),
            )
        self.wait()  # the background thread reads the next line's variable
        self._saving = step
        items = {name: ocp.args.StandardSave(tree) for name, tree in _arrays(state).items()}
        items["extra"] = ocp.args.JsonSave({"format": FORMAT, "extra": extra or {}})
        try:
            # `force` leaves the decision whether to save to the caller.
            self._writer.save(step, args=ocp.args.Composite(**items), force=True)
        except ocp.checkpoint_manager.StepAlreadyExistsError:
            raise UsageError(
                f"There is a checkpoint {self.directory / str(step)} already, and checkpoints are "
                "never overwritten; delete it, or use another directory."
            ) from None

    def restore(
        self, abstract_state: TrainState, step: int | None = None
    ) -> tuple[TrainState, dict[str, Any]]:
        """The state of a step, and the `extra` saved with it.

        Args:
            abstract_state: a state of the same structure, of arrays or `jax.ShapeDtypeStruct`s;
                each array is restored onto its sharding, whatever devices it was saved from.
            step: which checkpoint; by default the latest.

        Raises:
            UsageError: there is no such checkpoint, it is damaged, or it holds other arrays.
        """
        step = self._find(step)
        extra = self._read_extra(step)
        items = {
            name: self._read_arrays(step, name, tree)
            for name, tree in _arrays(abstract_state).items()
        }
        training = _training(abstract_state)
        leaves = [items["training"][name] for name in _names(training)]
        state = TrainState(
            params=items["params"],
            ema_params=items["ema_params"],
            **jax.tree.unflatten(jax.tree.structure(training), leaves),
        )
        return state, extra

    def restore_params(
        self, step: int | None = None, *, ema: bool = True, abstract_params: PyTree | None = None
    ) -> PyTree:
        """The parameters alone; nothing else is read from disk.

        Args:
            step: which checkpoint; by default the latest.
            ema: whether to read the moving average rather than the last iterate.
            abstract_params: arrays or `jax.ShapeDtypeStruct`s to check against, whose shardings,
                if they have any, say where to put the result. Without it, the result is what was
                saved, in nested dictionaries and lists, on this process's first device.

        Raises:
            UsageError: there is no such checkpoint, it is damaged, or it holds other arrays.
        """
        step = self._find(step)
        self._read_extra(step)
        return self._read_arrays(step, "ema_params" if ema else "params", abstract_params)

    def wait(self) -> None:
        """Returns when everything saved is on disk."""
        if self._writer is not None:
            self._writer.wait_until_finished()

    def close(self) -> None:
        """Waits, then frees the background threads."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def _write_checksums(self) -> None:
        """Runs in the background when all files are written, before the directory is renamed."""
        if jax.process_index() == 0:
            for unfinished in self.directory.glob(f"{self._saving}.*"):
                checksums.write(unfinished, ITEMS)

    def _find(self, step: int | None) -> int:
        """The step to read, once it is known to exist."""
        steps = self.all_steps()
        if not steps:
            raise UsageError(
                f"There is no checkpoint in {self.directory}; train first, or name another "
                "directory."
            )
        if step is None:
            return steps[-1]
        if step not in steps:
            raise UsageError(
                f"There is no checkpoint {self.directory / str(step)}; "
                f"the steps there: {', '.join(map(str, steps))}."
            )
        return step

    def _read(self, step: int, read: Callable[[pathlib.Path], Any]) -> Any:
        """`read` of a checkpoint's directory, with any failure as a UsageError and a way out."""
        directory = self.directory / str(step)
        try:
            return read(directory)
        except Exception as error:  # Orbax and TensorStore raise errors of many types
            earlier = [str(other) for other in self.all_steps() if other < step]
            remedy = (
                f"delete it to go on from an earlier one ({', '.join(earlier)})"
                if earlier
                else "delete it and train again, for there is no earlier one"
            )
            reason = " ".join(str(error).split())[:160]
            raise UsageError(
                f"The checkpoint {directory} is damaged: {reason}; {remedy}."
            ) from error

    def _read_extra(self, step: int) -> dict[str, Any]:
        def read(directory: pathlib.Path) -> dict[str, Any]:
            checksums.verify(directory, "extra")
            return ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(directory / "extra")

        content = self._read(step, read)
        if content["format"] != FORMAT:
            raise UsageError(
                f"The checkpoint {self.directory / str(step)} has format {content['format']}, and "
                f"this scoresde reads format {FORMAT}; use the version that wrote it."
            )
        return content["extra"]

    def _read_arrays(self, step: int, item: str, wanted: PyTree | None) -> PyTree:
        def read_metadata(directory: pathlib.Path) -> PyTree:
            checksums.verify(directory, item)
            return ocp.StandardCheckpointHandler().metadata(epath.Path(directory / item)).tree

        def read_values(directory: pathlib.Path) -> PyTree:
            reader = ocp.Checkpointer(ocp.StandardCheckpointHandler())
            return reader.restore(directory / item, args=ocp.args.StandardRestore(abstract))

        found = self._read(step, read_metadata)
        if wanted is not None and (words := _differences(wanted, found)):
            raise UsageError(
                f"The checkpoint {self.directory / str(step)} is of another model or optimiser: "
                f"in {item}, {words}. Use the configuration it was trained with, or another "
                "directory."
            )
        anywhere = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape,
                leaf.dtype,
                sharding=anywhere if wanted is None else leaf.sharding or anywhere,
            ),
            found if wanted is None else wanted,
        )
        return self._read(step, read_values)
