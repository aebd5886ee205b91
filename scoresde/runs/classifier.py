"""Training a classifier of noisy images in a work directory, and how right it is at each level.

In the work directory, beside what every run has: classifier/accuracy.json and accuracy.png.
"""

import dataclasses
import math
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import files, jobs, keys, training
from scoresde.evaluation import plot_accuracy
from scoresde.experiment import Experiment, build
from scoresde.guidance import NoisyClassifier
from scoresde.registry import UsageError
from scoresde.runs.other_model import other_model
from scoresde.runs.train import train
from scoresde.runs.trained_model import TrainedModel

DIRECTORY = "classifier"
"""Where in a work directory the results are."""

LEVELS = 8
"""Parts of the log-SNR in which accuracies are measured."""

# Beyond these log-SNRs, where there is all or nothing to see, no levels are told apart.
_MOST = 12.0


def train_classifier(
    config: Any,
    workdir: str | os.PathLike,
    progress: jobs.Tell | None = None,
    *,
    profile: str | None = None,
    strict: bool = False,
) -> tuple[training.TrainState, dict[str, Any] | None]:
    """Trains the classifier of `config`, or goes on with it, and measures it once it is trained.

    Args:
        config: as `scoresde.build` takes it, with the objective "classification".
        workdir: of the run, see `scoresde.runs.workdir`.
        progress: called with a `scoresde.jobs.Report` now and then while it is measured.
        profile: see `scoresde.runs.train`.
        strict: see `scoresde.training.train`.

    Returns:
        The last state, and what `measure_classifier` returns; None in its place if the run was told
        to stop.

    Raises:
        UsageError: the config trains no classifier; and as `scoresde.runs.train`.
    """
    experiment = build(config)
    check_trains_classifier(experiment)
    state = train(config, workdir, profile=profile, strict=strict)
    if int(state.step) < experiment.training.num_steps:
        return state, None
    return state, measure_classifier(TrainedModel(workdir), progress=progress)


def check_trains_classifier(experiment: Experiment) -> None:
    """Raises UsageError unless the experiment trains a classifier."""
    if not experiment.trains_classifier:
        raise UsageError(
            "This config trains no classifier: its network must be one of `scoresde list "
            "classifiers`, and config.loss.objective 'classification'."
        )


def measure_classifier(
    run: TrainedModel,
    *,
    step: int | None = None,
    average: str | None = "ema",
    batch_size: int = 128,
    seed: int = 0,
    progress: jobs.Tell | None = None,
) -> dict[str, Any]:
    """Accuracy and cross-entropy of a classifier by the level of the noise.

    The log-SNR from the most noise to the least (within -12 .. 12) is cut in eight equal parts. In
    each of them every test image (training image, where there are no others) is seen once, at a
    log-SNR uniform in the part, or at the nearest level of a network that knows levels.

    Args:
        run: of a classifier.
        step: the checkpoint; the latest if None.
        average: which average of the parameters; None for the last iterate.
        batch_size: images at a time.
        seed: the same seed gives the same noise.
        progress: called with a `scoresde.jobs.Report` now and then.

    Returns:
        What accuracy.json holds: "levels" is a list of each part's "log_snr" (its ends),
        "accuracy", "stderr" (over the images) and "cross_entropy" in nats.

    Raises:
        UsageError: the run is of no classifier, or has no such checkpoint.
    """
    experiment, mesh = run.experiment, run.mesh
    step = run.step(step, average)
    classifier = experiment.classifier(run.params(step, average))
    split_name = "test" if "test" in experiment.source.splits else "train"
    split = experiment.source.splits[split_name]
    edges = level_edges(experiment)
    key = jax.random.key(seed)
    batch_size = -(-min(batch_size, len(split)) // mesh.size) * mesh.size
    seen = _seer(experiment, classifier, edges)

    def compute(rows: np.ndarray, fetch: jobs.Fetch) -> dict[str, np.ndarray]:
        batch = split.batch(np.minimum(rows, len(split) - 1))
        given = {"image": batch["image"], "label": batch["label"]}
        given["keys"] = keys.sample_keys(key, batch_size, rows[0])
        return fetch(seen(training.split_batch(mesh, given), classifier.params))

    directory = run.workdir / DIRECTORY
    measured = jobs.in_batches(
        compute,
        num=len(split),
        batch_size=batch_size,
        progress=progress,
        about=f"Classifying {len(split)} {split_name} images at {LEVELS} levels; the accuracies go "
        f"to {directory}.",
    )
    right, nats = measured["right"], measured["nats"]
    summary = {
        "step": step,
        "parameters": average or "raw",
        "split": split_name,
        "images": len(split),
        "classes": classifier.num_classes,
        "seed": seed,
        "levels": [
            {
                "log_snr": [float(edges[i]), float(edges[i + 1])],
                "accuracy": float(right[:, i].mean()),
                "stderr": float(right[:, i].std() / math.sqrt(len(split))),
                "cross_entropy": float(nats[:, i].mean()),
            }
            for i in range(LEVELS)
        ],
    }
    if jax.process_index() == 0:
        files.write_json(directory / "accuracy.json", summary)
        with jobs.picture(directory / "accuracy.png"):
            plot_accuracy(directory / "accuracy.png", summary["levels"], classifier.num_classes)
    return summary


def level_edges(experiment: Experiment) -> np.ndarray:
    """The ends of the parts of the log-SNR, ascending, [LEVELS + 1]."""
    sde = experiment.sde
    ends = jnp.asarray([sde.t_max, sde.t_min])
    low, high = np.clip(np.asarray(sde.log_snr(ends), np.float64), -_MOST, _MOST)
    return np.linspace(low, high, LEVELS + 1)


def _seer(experiment: Experiment, classifier: NoisyClassifier, edges: np.ndarray):
    """(batch, params) -> whether the class is found, and -log p of it, [batch, LEVELS]."""
    sde, codec, levels = experiment.sde, experiment.codec, experiment.prediction.trained_levels
    low, width = jnp.asarray(edges[:-1], jnp.float32), float(edges[1] - edges[0])
    network, told = classifier.network, classifier.time_input

    @jax.jit
    def seen(batch, params):
        found = NoisyClassifier(sde, network, params, time_input=told)
        x0 = codec.encode(batch["keys"], batch["image"])
        labels = batch["label"]

        def at(part):
            time_keys, noise_keys = keys.split(keys.fold_in(batch["keys"], part))
            share = jax.vmap(jax.random.uniform)(time_keys)
            t = sde.time_of_log_snr(low[part] + width * share)
            if levels is not None:
                t = jnp.round(t / sde.t_max * (levels - 1)) / (levels - 1) * sde.t_max
            t = jnp.clip(t, sde.t_min, sde.t_max)
            x = sde.perturb(x0, keys.normal(noise_keys, x0.shape), t)
            logs = found.log_probs(x, t)
            right = jnp.argmax(logs, axis=-1) == labels
            return right, -jnp.take_along_axis(logs, labels[:, None], axis=1)[:, 0]

        right, nats = jax.lax.map(at, jnp.arange(LEVELS))
        return {"right": right.T, "nats": nats.T}

    return seen


def trained_classifier(reference: str, experiment: Experiment) -> NoisyClassifier:
    """The classifier that guides samples of `experiment`.

    Args:
        reference: its run, see `scoresde.runs.other_model`.
        experiment: of the samples.

    Raises:
        UsageError: there is none; or one of images of another shape or range, or of another
            process.
    """
    model = other_model(reference, "--classifier")
    classifier = model.run.experiment.classifier(model.params())
    check_same(reference, model.run.experiment, experiment)
    return classifier


def check_same(reference: str, theirs: Experiment, ours: Experiment) -> None:
    """Raises UsageError unless both runs are of the same x_t, whatever their t_min is."""
    process = dataclasses.replace(theirs.sde, t_min=ours.sde.t_min)
    for what, one, other in (
        ("images of shape", theirs.shape, ours.shape),
        ("data in the range", *(e.codec_without_data.data_range for e in (theirs, ours))),
        ("the process", process, ours.sde),
    ):
        if one != other:
            raise UsageError(f"{reference} is of {what} {one}, and the samples are of {other}.")
