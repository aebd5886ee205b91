"""Restoring or editing images as a job: in parts, resumed where it was stopped, results at last."""

import os
import pathlib
from typing import Any

import jax
import numpy as np

from scoresde import files, jobs, training
from scoresde.registry import UsageError, shown
from scoresde.runs.generate import whole_batch
from scoresde.runs.restoring.inputs import digest
from scoresde.runs.restoring.request import RestorationRequest, open_model
from scoresde.runs.restoring.results import DONE, remove_earlier, write_pictures, write_sheet
from scoresde.runs.trained_model import TrainedModel


def restore_images(
    run: TrainedModel,
    request: RestorationRequest,
    *,
    name: str | None = None,
    out: str | os.PathLike | None = None,
    overwrite: bool = False,
    progress: jobs.Tell | None = None,
) -> dict[str, Any]:
    """Draws samples of restored or edited images and writes them.

    For the input `a.png`, its samples a_0.png, a_1.png, ... of the input's size; restoration.json
    (how they were made) and sheet.png, with a row an input: what was observed, the mask, samples,
    their mean and standard deviation. Drawing that was stopped, or killed, goes on at the batch
    where it was, and the samples are the same.

    Args:
        run: the run.
        request: what is done with which images.
        name: of the results' directory, below `workdir/restorations/`; TASK_STEP if None.
        out: the results' directory itself.
        overwrite: replace results that are there.
        progress: called with a `scoresde.jobs.Report` now and then.

    Returns:
        What restoration.json holds, and the "files" that were written. On other processes than the
        first, nothing.

    Raises:
        UsageError: what is wrong with the request, the inputs or the directory; nothing is written.
    """
    if not isinstance(request, RestorationRequest):
        raise UsageError(f"What is restored is said by a request, not by {shown(request)}.")
    step, mesh = run.step(request.step, request.average), run.mesh
    model = open_model(run, request, step)
    work = request.prepare(model)
    directory = _directory(run, request, name, out, step)
    sources = [
        {"name": name, "file": str(file), "sha256": text}
        for name, file, text in zip(work.inputs.names, work.inputs.files, work.inputs.digests())
    ]
    record = {
        "task": request.task,
        **work.record,
        "samples": request.samples,
        "seed": request.seed,
        "step": step,
        "parameters": request.average or "raw",
        "label": request.label,
        "fit": request.fit,
        "sampler": run.sampler_section(),
        "config": model.sections,
        "t_min": model.denoiser.sde.t_min,
        "bins": model.codec.bins,
        "inputs": sources,
    }
    num = len(sources) * request.samples
    batch_size = whole_batch(request.batch_size, num, mesh)
    told = {name: digest(array) for name, array in work.condition.items()}
    parts = jobs.open_parts(
        directory, {**record, "told": told, "batch_size": batch_size}, overwrite
    )
    drawn = jobs.in_batches(
        _computer(work, request, mesh, num, model.scale.astray),
        num=num,
        batch_size=batch_size,
        parts=parts,
        progress=progress,
        about=(
            f"{request.task}: {request.samples} sample(s) of {len(sources)} image(s) by step "
            f"{step}, {-(-num // batch_size)} batch(es) of {batch_size}; they go to {directory}."
        ),
    )
    if jax.process_index() != 0:
        return {}
    images = drawn["images"].reshape(len(sources), request.samples, *model.shape)
    remove_earlier(directory)
    written = write_pictures(directory, work.inputs.names, images, model.codec.bins)
    for source, paths in zip(sources, written):
        source["results"] = [path.relative_to(directory).as_posix() for path in paths]
    summary = {
        **record,
        "nfe_mean": float(np.mean(drawn["nfe"])),
        "nfe_max": int(np.max(drawn["nfe"])),
        "unfinished": int(drawn["unfinished"].sum()),
        "astray": int(drawn["astray"].sum()),
        "seconds": round(float(drawn["seconds"].sum()), 3),
        "devices": mesh.size,
    }
    files.write_json(directory / DONE, summary)
    sheet = write_sheet(directory, work.shown, images, model.codec.bins)
    parts.remove()  # last, for without them all is there
    paths = [path for some in written for path in some]
    return {**summary, "files": [*sheet, directory / DONE, *paths]}


def _computer(work, request, mesh, num, astray):
    """What draws the samples of these numbers; sample i is number i % samples of its input."""
    keys = work.inputs.keys(jax.random.key(request.seed))
    fold = jax.vmap(jax.random.fold_in)

    def put(tree: Any) -> Any:
        return training.split_batch(mesh, tree)

    def compute(rows: np.ndarray, fetch: jobs.Fetch) -> dict[str, np.ndarray]:
        rows = np.minimum(rows, num - 1)  # the last batch is filled up
        inputs, numbers = np.divmod(rows, request.samples)
        condition = {name: array[inputs] for name, array in work.condition.items()}
        samples = work.draw(put(fold(keys[inputs], numbers)), put(condition))
        x, nfe = fetch((samples.x, samples.nfe))
        unfinished = ~np.isfinite(x).all(axis=tuple(range(1, x.ndim)))
        return {
            "images": work.finish(x, inputs),
            "nfe": nfe,
            "unfinished": unfinished,
            "astray": astray(x),
        }

    return compute


def _directory(run, request, name, out, step):
    """Where results go, which is not where inputs come from."""
    if out is None:
        return run.workdir / "restorations" / (name or f"{request.task}_{step}")
    if name is not None:
        raise UsageError("Give a name, or a directory, not both.")
    directory, source = pathlib.Path(out).expanduser(), pathlib.Path(request.input).expanduser()
    if source.is_dir() and directory.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            f"The results would be inputs of the next time: give an --out that is not in {source}."
        )
    return directory
