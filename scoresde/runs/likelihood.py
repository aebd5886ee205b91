"""Log-likelihoods of a split of the data: in resumable parts, with error bars, and their figure."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import data, evaluation, files, jobs, likelihood, training
from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser
from scoresde.experiment import Experiment, model_sections
from scoresde.keys import fold_in, sample_keys
from scoresde.registry import UsageError
from scoresde.runs.protocol import LikelihoodProtocol
from scoresde.runs.trained_model import TrainedModel

DONE = "likelihood.json"
"""The file that says what was measured, and how."""

# Folded into an image's key for what is made of it and told to the network, the same in all passes.
_TOLD = 2**31 - 2


def measure_likelihood(
    run: TrainedModel,
    protocol: LikelihoodProtocol,
    *,
    name: str | None = None,
    overwrite: bool = False,
    progress: jobs.Tell | None = None,
) -> dict[str, Any]:
    """Estimates every image's log-likelihood, its last ones included, and writes the results.

    An evaluation that was stopped, or killed, goes on at the batch where it was. The results are
    `workdir/likelihood/NAME/`: per_image.npz, likelihood.json and, last, figure.png.

    Args:
        run: the run.
        protocol: what is measured.
        name: of the results' directory; SPLIT_STEP if None.
        overwrite: replace results that are there.
        progress: called with a `scoresde.jobs.Report` now and then; `scoresde.jobs.Progress()`
            shows it on stderr.

    Returns:
        What likelihood.json holds: the mean in bits/dim, its error in parts, and the protocol. On
        other processes than the first, nothing.

    Raises:
        UsageError: impossible options, a checkpoint that is not there, or results that are.
    """
    experiment, mesh = run.experiment, run.mesh
    split, codec = experiment.source.splits[protocol.split], experiment.codec
    num = len(split) if protocol.num is None else protocol.num
    if not 1 <= num <= len(split):
        raise UsageError(f"num must be 1 .. {len(split)}, the images of {protocol.split!r}.")
    if codec.bins is None:
        raise UsageError(
            "bits/dim are of images with levels, and the data have none: take the density itself, "
            "run.experiment.likelihood(key, run.denoiser(), x).nats."
        )
    if protocol.passes < 1:
        raise UsageError(f"passes must be at least 1, got {protocol.passes}.")
    data.check_levels(split.images[:num], codec.bins)
    step = run.step(protocol.step, protocol.average)
    params = run.params(step, protocol.average)
    estimator, described = protocol.estimator(
        experiment, experiment.denoiser(params).sde, run.workdir
    )
    batch_size = min(experiment.likelihood_batch_size, num)
    batch_size = -(-batch_size // mesh.size) * mesh.size
    record = {
        **({"bayes": True} if protocol.bayes else {}),
        "split": protocol.split,
        "bins": codec.bins,
        "data_range": codec.data_range,
        **described,
        "seed": protocol.seed,
        "step": step,
        "parameters": protocol.average or "raw",
        "config": model_sections(run.config),
    }
    directory = run.workdir / "likelihood" / (name or f"{protocol.split}_{step}")
    computed = {**record, "images": num, "passes": protocol.passes, "batch_size": batch_size}
    seed_key, dims = jax.random.key(protocol.seed), math.prod(codec.shape)
    floor = None
    if protocol.baseline:  # seconds, and it may be refused
        floor = _gaussian_bits(experiment, split.images[:num], seed_key)
    denoiser, by_class = experiment.denoiser(params, described.get("t_min")), None
    if protocol.bayes:
        by_class = _by_class(experiment, denoiser, record["config"]["network"].get("label_dropout"))
    parts = jobs.open_parts(directory, computed, overwrite)

    def put(tree: Any) -> Any:
        return training.split_batch(mesh, tree)

    def estimate(rows: np.ndarray, number: int) -> dict[str, jax.Array]:
        keys = jax.random.split(jax.random.fold_in(seed_key, number))
        noise_keys, keys = (put(sample_keys(key, len(rows), rows[0])) for key in keys)
        batch = split.batch(np.minimum(rows, num - 1))  # the last batch is filled up
        told_keys = fold_in(sample_keys(seed_key, len(rows), rows[0]), _TOLD)
        condition = put(experiment.condition_of(batch, told_keys))
        images = put(batch["image"])
        evaluate = functools.partial(estimator, noise_keys, keys, denoiser, images)
        return (by_class or _as_it_is)(evaluate, condition)

    def to_bits(nats: Any) -> np.ndarray:
        return np.asarray(estimator.bits_per_dim(np.asarray(nats), dims))

    about = (
        f"Evaluating {num} images of {protocol.split!r} at step {step}, {protocol.bound}"
        f"{f', {protocol.passes} passes' if protocol.passes > 1 else ''}, "
        f"{-(-num // batch_size)} batch(es) of {batch_size}; results go to {directory}."
    )
    results = evaluation.in_passes(
        estimate,
        num=num,
        batch_size=batch_size,
        passes=protocol.passes,
        parts=parts,
        progress=progress,
        about=about,
        note=_running_mean(to_bits),
    )
    if jax.process_index() != 0:
        return {}
    images = evaluation.per_image(results, to_bits)
    summary = evaluation.summarize(results, to_bits)
    if protocol.passes > 1 and protocol.bound == "exact":
        summary |= evaluation.summarize_importance(results, to_bits)
    if floor is not None:
        summary |= evaluation.summarize_baseline(images["bits_per_dim"], floor)
    if protocol.bayes:
        trained, labels = experiment.source.splits["train"].labels, split.labels[:num]
        shares = evaluation.class_shares(trained, results["class_nats"].shape[-1])
        of_classes, arrays = evaluation.summarize_classes(results, labels, shares, to_bits)
        summary, images = summary | of_classes, images | arrays
    summary |= {**record, "devices": mesh.size}
    files.write_arrays(directory / "per_image.npz", **images)
    title = f"{protocol.split}, step {step}, {protocol.bound}, {described['dequantization']}"
    files.write_json(directory / DONE, summary)
    figure = directory / "figure.png"
    figure.unlink(missing_ok=True)  # one of other numbers
    with jobs.picture(figure):
        evaluation.plot_likelihood(
            figure,
            images["bits_per_dim"],
            split.images[:num],
            bins=codec.bins,
            title=title,
            baseline=floor,
        )
    parts.remove()  # last, for without them all is there
    written = [directory / DONE, directory / "per_image.npz", figure]
    return {**summary, "files": [path for path in written if path.exists()]}


def _as_it_is(evaluate: Callable, condition: Condition) -> dict[str, jax.Array]:
    return evaluate(condition)._asdict()


def _by_class(experiment: Experiment, denoiser: BaseDenoiser, without: Any) -> Callable:
    """The same under every class: (evaluate, condition) -> arrays, "class_nats" among them.

    Noise and probes are the same for all classes.

    Raises:
        UsageError: the network is told no class.
    """
    classes = getattr(experiment.network, "num_classes", None)
    if not classes or "label" not in experiment.condition:
        raise UsageError("--bayes is of a class-conditional network: config.data.labels=True.")

    def estimate(evaluate: Callable, condition: Condition) -> dict[str, jax.Array]:
        own = condition["label"]
        told = [jnp.full_like(own, number) for number in range(classes)]
        results = [evaluate({**condition, "label": label})._asdict() for label in told]
        stacked = {name: jnp.stack([r[name] for r in results], axis=1) for name in results[0]}
        chosen = {
            name: jnp.take_along_axis(values, own[:, None], axis=1)[:, 0]
            for name, values in stacked.items()
        }
        chosen["class_nats"] = stacked["nats"]
        if without:
            none = denoiser.absent("label", own)
            chosen["no_class_nats"] = evaluate({**condition, "label": none}).nats
        return chosen

    return estimate


def _running_mean(to_bits: Callable) -> Callable[[dict[str, np.ndarray]], str]:
    """What the batches so far say, in words, called with each of them in turn."""
    seen: list[float] = []

    def note(batch: dict[str, np.ndarray]) -> str:
        seen.extend(to_bits(batch["nats"].mean(axis=1)).tolist())
        error = f" +- {np.std(seen, ddof=1) / len(seen) ** 0.5:.4f}" if len(seen) > 1 else ""
        return f"{np.mean(seen):.4f}{error} bits/dim"

    return note


def _gaussian_bits(experiment: Experiment, images: np.ndarray, seed_key: jax.Array) -> np.ndarray:
    """bits/dim of uniformly dequantized images under a Gaussian fitted to the training images."""
    codec, train = experiment.codec, experiment.source.splits["train"].images
    # The noise of pass 0: differences from the model are then differences of the models.
    noise_key = jax.random.split(jax.random.fold_in(seed_key, 0))[0]

    def dequantized(key: jax.Array, images: np.ndarray) -> jax.Array:
        return data.scale(data.dequantize(key, images, codec.bins), codec.bin_range)

    fitted_to = dequantized(jax.random.fold_in(noise_key, 2**31 - 1), train)
    nats = likelihood.gaussian_log_prob(fitted_to, dequantized(noise_key, images))
    return likelihood.bits_per_dim(
        nats, math.prod(codec.shape), bins=codec.bins, bin_range=codec.bin_range
    )
