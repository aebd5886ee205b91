"""Evaluate log-likelihoods in bits/dim, exact or bounded.

Example:
  scoresde likelihood --workdir runs/digits --split test --probes 8
  scoresde likelihood --workdir runs/digits --dequantizer flow --passes 5
  scoresde likelihood --workdir runs/digits --bound vdm

Every image of the split is evaluated, its last ones included: exactly (the probability-flow ODE on
the image with noise in its bins), or by a lower bound (score_flow on the same, vdm and ddpm on the
levels). Writes DIR/likelihood/NAME/: per_image.npz, likelihood.json (protocol, mean, error in
parts) and figure.png. A run that was stopped, or killed, goes on at the batch where it was.
Numbers of different protocols (dequantisation, t_min, range, bound) do not compare.
"""

import argparse
import dataclasses
import math

from scoresde import files
from scoresde.cli.arguments import add_workdir, config_from_workdir, result_name, seed
from scoresde.cli.workdir import process_sections
from scoresde.registry import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_workdir(parser)
    parser.add_argument("--split", default="test", help="split of the data")
    parser.add_argument("--num", type=int, help="the first images of the split only")
    parser.add_argument("--bound", default="exact", help="exact, score_flow, vdm or ddpm")
    parser.add_argument("--probes", type=int, help="Hutchinson probes; config.likelihood.probes")
    parser.add_argument("--samples", type=int, help="of a bound: times (ddpm: steps) an image")
    parser.add_argument("--repeats", type=int, help="of a bound: independent sets of times")
    parser.add_argument("--steps", type=int, help="of ddpm: length of the chain; 1000, or its own")
    parser.add_argument(
        "--dequantizer", help="uniform (if not given), truncated_normal, or flow, once trained"
    )
    parser.add_argument("--dequantizer_std", type=float, help="of truncated_normal; the process's")
    parser.add_argument("--passes", type=int, default=1, help="evaluations of each image")
    parser.add_argument("--seed", type=seed, default=0, help="of dequantisation noise and probes")
    parser.add_argument("--step", type=int, help="checkpoint to load; the latest if not given")
    parser.add_argument("--raw", action="store_true", help="the last parameters, not their EMA")
    parser.add_argument(
        "--name", type=result_name, help="directory of the results; SPLIT_STEP if not given"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results")
    parser.add_argument(
        "--baseline", action="store_true", help="also fit a Gaussian, and compare with it"
    )


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Evaluates; see the module's docstring."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from scoresde import build, evaluation, training
    from scoresde.cli.estimator import DONE, make_estimator, open_parts, trained_flow
    from scoresde.cli.sampling import to_host
    from scoresde.data import check_levels
    from scoresde.keys import sample_keys

    workdir = arguments.workdir
    config = config_from_workdir(workdir, overrides)
    flow = trained_flow(workdir, config) if arguments.dequantizer == "flow" else None
    experiment = build.experiment(config)
    source = experiment.source
    split = source.splits[arguments.split]
    num = len(split) if arguments.num is None else arguments.num
    if not 1 <= num <= len(split):
        raise UsageError(f"--num must be 1 .. {len(split)}, the images of {arguments.split!r}.")
    if arguments.passes < 1:
        raise UsageError(f"--passes must be at least 1, got {arguments.passes}.")
    check_levels(split.images[:num], source.bins)
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    step = arguments.step if arguments.step is not None else checkpoints.latest_step()
    params = checkpoints.restore_params(
        step, ema=not arguments.raw, abstract_params=experiment.abstract_params
    )

    mesh = training.make_mesh()
    params = training.replicate(mesh, params)
    sde = experiment.denoiser(params).sde
    estimator, protocol = make_estimator(arguments, experiment, flow, sde)
    batch_size = min(experiment.settings["likelihood"]["batch_size"], num)
    batch_size = -(-batch_size // mesh.size) * mesh.size
    protocol = {
        "split": arguments.split,
        "bins": source.bins,
        "data_range": experiment.data_range,
        **protocol,
        "seed": arguments.seed,
        "step": step,
        "parameters": "raw" if arguments.raw else "ema",
        "config": process_sections(config),
    }
    directory = workdir / "likelihood" / (arguments.name or f"{arguments.split}_{step}")
    computed = {
        **protocol,
        "images": num,
        "passes": arguments.passes,
        "batch_size": batch_size,
    }
    seed_key = jax.random.key(arguments.seed)
    floor = None
    if arguments.baseline:  # seconds, and it may be refused
        floor = _gaussian_bits(experiment, split.images[:num], seed_key)
    parts = open_parts(directory, computed, arguments.overwrite)

    denoiser = experiment.denoiser(params, protocol.get("t_min"))
    conditional = experiment.settings["data"]["labels"]

    def put(array):
        return jax.device_put(array, training.batch_sharding(mesh))

    def estimate(rows, number):
        keys = jax.random.split(jax.random.fold_in(seed_key, number))
        noise_keys, keys = (put(sample_keys(key, len(rows), rows[0])) for key in keys)
        rows = np.minimum(rows, num - 1)  # the last batch is filled up
        condition = {"label": put(jnp.asarray(split.labels[rows]))} if conditional else None
        result = estimator(noise_keys, keys, denoiser, put(split.images[rows]), condition)
        return {name: to_host(values) for name, values in result._asdict().items()}

    dims = math.prod(experiment.image_shape)

    def to_bits(nats):
        return np.asarray(estimator.bits_per_dim(np.asarray(nats), dims))

    with _Progress(num, to_bits) as progress:
        results = evaluation.evaluate(
            estimate,
            num=num,
            batch_size=batch_size,
            passes=arguments.passes,
            parts=parts,
            write=jax.process_index() == 0,
            report=progress,
        )
    if jax.process_index() != 0:
        return
    summary = evaluation.summarize(results, to_bits)
    if arguments.passes > 1 and arguments.bound == "exact":
        summary |= evaluation.summarize_importance(results, to_bits)
    images = evaluation.per_image(results, to_bits)
    if floor is not None:
        gain = floor - images["bits_per_dim"]
        summary["gaussian_bits_per_dim"] = float(floor.mean())
        summary["gain_over_gaussian"] = float(gain.mean())
        error = float(gain.std(ddof=1) / math.sqrt(num)) if num > 1 else None
        summary["gain_standard_error"] = error
    files.write_arrays(directory / "per_image.npz", **images)
    evaluation.plot_likelihood(
        directory / "figure.png",
        images["bits_per_dim"],
        split.images[:num],
        levels=source.bins,
        title=f"{arguments.split}, step {step}, {arguments.bound}, {protocol['dequantization']}",
        baseline=floor,
    )
    # Last, for it says that all is there.
    files.write_json(directory / DONE, {**summary, **protocol, "devices": mesh.size})
    parts.remove()
    _print(summary, arguments, directory)


class _Progress:
    """A progress bar over images with the running mean and its error, called with each batch."""

    def __init__(self, num, to_bits):
        import tqdm

        self._bar = tqdm.tqdm(total=num, unit="img", disable=None)
        self._to_bits, self._bits = to_bits, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def __call__(self, batch, new):
        images = len(batch["nats"])
        if new == 0 and not self._bar.disable:  # found: it says nothing about the speed
            self._bar.initial += images
        self._bar.update(images)
        self._bits.extend(self._to_bits(batch["nats"].mean(axis=1)).tolist())
        mean, count = sum(self._bits) / len(self._bits), len(self._bits)
        square = sum((bits - mean) ** 2 for bits in self._bits)
        error = f" +- {math.sqrt(square / (count - 1) / count):.4f}" if count > 1 else ""
        self._bar.set_postfix_str(f"{mean:.4f}{error} bits/dim")


def _gaussian_bits(experiment, images, seed_key):
    """bits/dim of uniformly dequantised images under a Gaussian fitted to the training images."""
    import jax

    from scoresde import likelihood

    # The noise of pass 0: differences from the model are then differences of the models.
    noise_key = jax.random.split(jax.random.fold_in(seed_key, 0))[0]
    codec = dataclasses.replace(experiment.codec, dequantize=True)
    train_images = experiment.source.splits["train"].images
    train = codec.encode(jax.random.fold_in(noise_key, 2**31 - 1), train_images)
    test = codec.encode(noise_key, images)
    return likelihood.bits_per_dim(
        likelihood.gaussian_log_prob(train, test),
        math.prod(experiment.image_shape),
        bins=experiment.source.bins,
        data_range=experiment.data_range,
    )


def _print(summary, arguments, directory):
    num = summary["images"]
    if summary["unfinished"]:
        print(
            f"Warning: the solver did not finish for {summary['unfinished']} of {num} images, so "
            "the mean is NaN. Loosen config.likelihood.rtol and .atol, or find what is not finite."
        )
    print(
        f"{summary['bits_per_dim']:.4f} bits/dim, standard error "
        f"{summary['standard_error'] or float('nan'):.4f} over {num} {arguments.split} images; "
        f"NFE {summary['nfe_mean']:.0f} an image; "
        f"{summary['seconds']:.1f} s (compilation included)."
    )
    if "importance_bits_per_dim" in summary:
        print(
            f"All {arguments.passes} passes together: {summary['importance_bits_per_dim']:.4f} "
            "bits/dim"
            + (
                "."
                if summary["importance_is_a_bound"]
                else ", too optimistic by the probes' noise."
            )
        )
    if arguments.baseline:
        print(
            f"A Gaussian fitted to the training images: {summary['gaussian_bits_per_dim']:.4f} "
            f"bits/dim; the model gains {summary['gain_over_gaussian']:.4f} "
            f"+- {summary['gain_standard_error'] or float('nan'):.4f}."
        )
    for file in ("likelihood.json", "per_image.npz", "figure.png"):
        print(f"  {directory / file}")
