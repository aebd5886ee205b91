"""How good the samples of a run are: measured against its data, in resumable parts, with a page."""

import dataclasses
import math
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from scoresde import files, jobs, quality
from scoresde.experiment import model_sections
from scoresde.quality import reference as references
from scoresde.registry import UsageError, shown
from scoresde.runs.generate import whole_batch
from scoresde.runs.likelihood import DONE as LIKELIHOOD
from scoresde.runs.likelihood import measure_likelihood
from scoresde.runs.quality_protocol import Cell, QualityProtocol
from scoresde.runs.sample_features import sample_features
from scoresde.runs.trained_model import TrainedModel

# Samples in the pictures of a report.
_SHOWN = 64


def evaluate(
    run: TrainedModel,
    protocol: QualityProtocol,
    *,
    name: str | None = None,
    overwrite: bool = False,
    progress: jobs.Tell | None = None,
) -> dict[str, Any]:
    """Draws samples, measures them, and writes `workdir/evaluation/NAME/`.

    evaluation.json (every number with its error, and all that it depends on) and report.html.
    Features are extracted where the samples are drawn, a batch at a time. An evaluation that was
    stopped, or killed, goes on at the batch where it was.

    Args:
        run: the run.
        protocol: what is measured.
        name: of the results' directory; what is evaluated if None.
        overwrite: replace results that are there.
        progress: called with a `scoresde.jobs.Report` now and then; `scoresde.jobs.Progress()`
            shows it on stderr.

    Returns:
        What evaluation.json holds, and the "files" that were written. On other processes than the
        first, nothing.

    Raises:
        UsageError: impossible options, a checkpoint that is not there, or results that are.
    """
    if not isinstance(protocol, QualityProtocol):
        raise UsageError(
            f"An evaluation is by a QualityProtocol, not by {shown(protocol)}; log-likelihoods are "
            "measured by run.likelihood."
        )
    evaluation = _Evaluation(run, protocol, name, overwrite, progress)
    rows = evaluation.rows(evaluation.first_cells, evaluation.first_metrics, protocol.seed)
    best = quality.best_row(rows)
    if protocol.checkpoints == "best":
        cell = evaluation.first_cells[best]
        # Other samples: the least of many is less than what its parameters are worth.
        rows += evaluation.rows([cell], list(protocol.metrics), protocol.seed + 1, len(rows))
        best = len(rows) - 1
    return evaluation.finish(rows, best)


class _Evaluation:
    """What all cells of an evaluation have in common."""

    def __init__(self, run, protocol, name, overwrite, progress):
        self.run, self.protocol, self.progress = run, protocol, progress
        self.overwrite, source = overwrite, run.experiment.source
        self.likelihoods: set[str] = set()  # that were measured, or found
        if not run.experiment.codec.of_images:
            raise UsageError(
                "An evaluation is of images, and the data are none: compare samples by "
                "`scoresde.metrics`."
            )
        steps = _steps(run, protocol)
        self.first_cells = protocol.cells(steps)
        self.first_metrics = list(protocol.metrics)
        if protocol.checkpoints == "best":
            self.first_metrics = self.first_metrics[:1]
        for cell in self.first_cells:  # a mistake in the last should not wait for its turn
            self._run_of(cell)
            run.check_average(cell.average, cell.step)
        self.extractor = protocol.extractor_for(source.name)
        self._measured(protocol.metrics)
        self.num = protocol.number_for(len(source.splits[protocol.split]))
        self.batch_size = whole_batch(protocol.batch_size, self.num, run.mesh)
        self.record = {
            "num": self.num,
            "seed": protocol.seed,
            "asked": list(protocol.metrics),
            "split": protocol.split,
            "against": protocol.reference,
            "features": quality.plain(self.extractor.protocol),
            "options": quality.options_of(self._measured(protocol.metrics)),
            "rounding": f"to the nearest of {run.experiment.codec.bins} levels, as 0 .. 255",
            "config": model_sections(run.config),
        }
        self.name = name or _name(protocol, self.first_cells)
        self.directory = run.workdir / "evaluation" / self.name
        cells = [cell.record() for cell in self.first_cells]
        computed = {**self.record, "cells": cells, "batch_size": self.batch_size}
        computed |= {"best": protocol.checkpoints == "best", "floor": protocol.floor}
        if quality.BITS in protocol.metrics:
            computed["likelihood"] = dataclasses.asdict(protocol.likelihood)
        self.parts = jobs.open_parts(self.directory, computed, overwrite)
        self.reference, self.about_reference = self._reference(protocol.split)
        measured = self._measured(protocol.metrics)
        quality.check_possible(measured, self.extractor, self.reference, self.num)
        if jax.process_index() == 0:
            self.parts.begin()

    def _measured(self, names) -> dict[str, Callable]:
        return quality.measures([name for name in names if name != quality.BITS], self.extractor)

    def _run_of(self, cell: Cell) -> TrainedModel:
        if not cell.changes:
            return self.run
        return TrainedModel(self.run.workdir, [*self.run.items, *cell.items()])

    def _reference(self, split: str) -> tuple[quality.FeatureSet, dict[str, Any]]:
        options = {"mesh": self.run.mesh, "batch_size": self.batch_size, "progress": self.progress}
        if self.protocol.reference is not None:
            return references.of_anything(
                self.protocol.reference, self.extractor, split=split, **options
            )
        source, directory = self.run.experiment.source, self.run.workdir / "statistics"
        return references.of_split(directory, source, split, self.extractor, **options)

    def rows(
        self, cells: list[Cell], metrics: list[str], seed: int, first: int = 0
    ) -> list[dict[str, Any]]:
        """What is measured of each cell; one that was finished before is read."""
        rows = []
        for number, cell in enumerate(cells, start=first):
            path = self.parts.directory / f"{number:03d}.json"
            if not jobs.agreed(path.exists()):
                about = f"[{number + 1}/{first + len(cells)}] " if len(cells) > 1 else ""
                row, shown = self._row(cell, metrics, seed, self.parts.directory / path.stem, about)
                if jax.process_index() == 0:
                    files.write_arrays(path.with_suffix(".npz"), **shown)
                    files.write_json(path, row)
                rows.append(row)
            else:
                rows.append(files.read_json(path))
        return rows

    def _row(
        self, cell: Cell, metrics: list[str], seed: int, directory: pathlib.Path, about: str
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        run, record = self._run_of(cell), {**cell.record(), "seed": seed}
        numbers: dict[str, Any] = {}
        if quality.BITS in metrics:
            numbers[quality.BITS] = self._bits(cell)
        row = {"cell": cell.record(), "seed": seed}
        shown: dict[str, np.ndarray] = {}
        if measured := self._measured(metrics):
            parts = jobs.Parts(directory, record)
            generated, found = self._draw(run, cell, seed, parts, about)
            numbers |= quality.measure(measured, generated, self.reference)
            shown = {"images": found["shown"], **self._nearest(generated)}
            row |= {
                "sampler": run.sampler_section(),
                "sampler_in_full": repr(run.experiment.sampling.sampler),
                "nfe_mean": float(found["nfe"].mean()),
                "unfinished": int(found["unfinished"].sum()),
                "seconds": round(float(found["seconds"].sum()), 3),
            }
            if jax.process_index() == 0:
                parts.remove()
        return row | {"metrics": quality.as_json(numbers, self.extractor, metrics)}, shown

    def _draw(
        self, run: TrainedModel, cell: Cell, seed: int, parts: jobs.Parts, about: str
    ) -> tuple[quality.FeatureSet, dict[str, np.ndarray]]:
        """Samples, of which the features are kept, and a few images."""
        sampling = run.experiment.sampling
        words = ", ".join(f"{key} {value}" for key, value in cell.record().items())
        return sample_features(
            jax.random.key(seed),
            run.experiment,
            run.denoiser(cell.step, cell.average, sampling.t_min),
            self.num,
            self.extractor,
            mesh=run.mesh,
            batch_size=self.batch_size,
            shown=_SHOWN,
            parts=parts,
            progress=self.progress,
            about=f"{about}Evaluating {self.num:,} samples of {words}; results go to "
            f"{self.directory}.",
        )

    def _nearest(self, generated: quality.FeatureSet) -> dict[str, np.ndarray]:
        """The training images that the first samples are nearest to, where they can be shown."""
        if self.protocol.reference is not None:
            return {}
        features = generated.features[:_SHOWN]
        numbers, distances = quality.nearest(features, self.reference.features)
        images = self.run.experiment.source.splits[self.protocol.split].images
        return {"nearest": np.asarray(images[numbers]), "distances": distances}

    def _bits(self, cell: Cell) -> quality.Number:
        """The likelihood of the cell's parameters, measured once for all of its samplers."""
        average = cell.average or "raw"
        name = f"{self.name}_{cell.step}_{average}"
        done = self.run.workdir / "likelihood" / name / LIKELIHOOD
        again = self.overwrite and name not in self.likelihoods
        if jobs.agreed(done.exists()) and not again:
            summary = files.read_json(done)
        else:
            protocol = dataclasses.replace(
                self.protocol.likelihood, step=cell.step, average=cell.average
            )
            summary = measure_likelihood(
                self.run, protocol, name=name, overwrite=again, progress=self.progress
            )
        self.likelihoods.add(name)
        if not summary:  # another process has it
            return quality.Number(math.nan)
        error_is = f"standard error over {summary['images']} {summary['split']} images"
        return quality.Number(summary["bits_per_dim"], summary["standard_error"], error_is)

    def finish(self, rows: list[dict[str, Any]], best: int) -> dict[str, Any]:
        """Writes the report of these rows."""
        floor = self._floor()
        jobs.together()  # all rows are read
        if jax.process_index() != 0:
            return {}
        result = {
            **self.record,
            **rows[best],
            "floor": floor,
            "reference": self.about_reference,
            "devices": self.run.mesh.size,
            "versions": quality.versions(),
            "rows": rows,
        }
        pictures = {}
        path = self.parts.directory / f"{best:03d}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as arrays:
                pictures = dict(arrays)
        written = quality.write_report(
            self.directory, result, pictures, bins=self.run.experiment.codec.bins
        )
        self.parts.remove()  # last, for without them all is there
        return {**result, "files": written}

    def _floor(self) -> dict[str, Any] | None:
        """What the measures say of other true images than those compared with."""
        source, split = self.run.experiment.source, self.protocol.split
        other = next((key for key in ("test", "validation") if key in source.splits), None)
        measured = self._measured(self.protocol.metrics)
        if not self.protocol.floor or other in (None, split) or not measured:
            return None
        images, _ = references.of_split(
            self.run.workdir / "statistics",
            source,
            other,
            self.extractor,
            mesh=self.run.mesh,
            batch_size=self.batch_size,
            progress=self.progress,
        )
        images = images.first(self.num)  # as many as samples, as far as there are
        kept = {name: f for name, f in measured.items() if quality.least_of(f) <= images.num}
        if images.num < 2 or not kept:  # the samples have their numbers without
            return None
        numbers = quality.measure(kept, images, self.reference)
        return {
            "images": f"{images.num} {other} images",
            "metrics": quality.as_json(numbers, self.extractor, self.protocol.metrics),
        }


def _steps(run: TrainedModel, protocol: QualityProtocol) -> list[int]:
    wanted, averages = protocol.checkpoints, protocol.averages
    if wanted in ("all", "best", None):
        common = set.intersection(*(set(run.steps(average)) for average in averages))
        if not common:
            for average in averages:
                run.step(None, average)  # which says that there is none
            raise UsageError(
                f"The averages {', '.join(average or 'raw' for average in averages)} have no step "
                "in common: evaluate one at a time, or put one together of a step of the others."
            )
        return [max(common)] if wanted is None else sorted(common)
    return [wanted] if isinstance(wanted, int) else list(wanted)  # `check_average` finds them


def _name(protocol: QualityProtocol, cells: list[Cell]) -> str:
    if isinstance(protocol.checkpoints, str):
        return protocol.checkpoints
    steps = sorted({cell.step for cell in cells})
    return f"step_{steps[0]}" if len(steps) == 1 else f"steps_{steps[0]}_{steps[-1]}"
