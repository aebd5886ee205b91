"""What is in a work directory: an experiment, and the parameters that training has saved of it."""

import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax

from scoresde import training
from scoresde.denoiser import Denoiser
from scoresde.experiment import Experiment, build, overrides, with_defaults
from scoresde.registry import UsageError, shown
from scoresde.runs.workdir import saved_config


class TrainedModel:
    """An experiment and its checkpoints.

    Opening one reads its config only. It is safe while the run is still training.

    Args:
        workdir: the directory.
        items: changes of its config, of the form --config.KEY=VALUE; nothing is written.

    Attributes:
        workdir: the directory.
        items: the changes of its config.
        config: its config, with the changes.
        experiment: the objects of the config.
        checkpoints: what training has saved.
        made_averages: averages of the parameters put together after training, by `scoresde ema`.

    Raises:
        UsageError: the directory holds no run, or a change does not fit.
    """

    def __init__(self, workdir: str | os.PathLike, items: Sequence[str] = ()):
        if not isinstance(workdir, str | os.PathLike):
            raise UsageError(f"A run is opened by its work directory, not by {shown(workdir)}.")
        self.workdir = pathlib.Path(workdir)
        self.items = tuple(items)
        self.config = overrides.apply(saved_config(self.workdir), items)
        self.experiment: Experiment = build(self.config)
        self.checkpoints = training.Checkpoints(self.workdir / "checkpoints")
        self.made_averages = training.AverageFiles(self.workdir / "averages")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.workdir)!r}, {self.experiment})"

    @functools.cached_property
    def mesh(self) -> jax.sharding.Mesh:
        """All devices, over which batches are split."""
        return training.make_mesh()

    def step(self, step: int | None = None, average: str | None = None) -> int:
        """`step`, which must have a checkpoint, or that average; the latest if None.

        Args:
            step: which.
            average: as of `params`. One that was put together after training has steps of its own.

        Raises:
            UsageError: there is no such checkpoint or average, or none at all.
        """
        if self.made_averages.steps(average):
            return self.made_averages.find(average, step).step
        return self.checkpoints.find(step)

    def steps(self, average: str | None = None) -> list[int]:
        """All steps with parameters, ascending; `average` as of `step`."""
        return self.made_averages.steps(average) or self.checkpoints.all_steps()

    def check_average(self, average: str | None, step: int | None = None) -> None:
        """Checks that there is an average, as of `params`.

        Raises:
            UsageError: there is no such checkpoint or average.
        """
        if not self.made_averages.steps(average):
            self.checkpoints.check_average(average, step)
        else:
            self.made_averages.find(average, step)

    def params(self, step: int | None = None, average: str | None = "ema") -> Any:
        """The parameters of a checkpoint, whole on every device.

        Args:
            step: which checkpoint; the latest if None.
            average: which average of the parameters, of training or of `scoresde ema`; None for the
                last iterate.

        Raises:
            UsageError: there is no such checkpoint or average, it is damaged, or it is of another
                network than the config's.
        """
        if self.made_averages.steps(average):
            made = self.made_averages.find(average, step).params(self.experiment.abstract_params)
            return training.replicate(self.mesh, made)
        whole = training.replicated(self.mesh)
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
            self.experiment.abstract_params,
        )
        return self.checkpoints.restore_params(step, average=average, abstract_params=abstract)

    def denoiser(
        self,
        step: int | None = None,
        average: str | None = "ema",
        t_min: float | None = None,
    ) -> Denoiser:
        """The denoiser with the `params` of these arguments, on the process from `t_min`."""
        return self.experiment.denoiser(self.params(step, average), t_min)

    def sampler_section(self) -> dict[str, Any]:
        """The section of the sampler, with its steps where it takes a number of them."""
        steps, section = self.experiment.sampling.steps, with_defaults(self.config)["sampler"]
        return section if steps is None else {**section, "steps": steps}

    def log(self) -> list[dict[str, Any]]:
        """What training logged: a dictionary a step."""
        return training.read_log(self.workdir)
