"""Evaluate exact log-likelihoods in bits/dim.

Example:
  scoresde likelihood --workdir runs/digits --split test --probes 8

Every image of the split is dequantised with its own noise and evaluated by the probability-flow
ODE. Writes DIR/likelihood/NAME/: per_image.npz and likelihood.json (protocol, mean, error).
Numbers of different protocols (dequantisation, t_min, range, bound) do not compare.
"""

import argparse
import math
import time

from scoresde import files
from scoresde.cli.arguments import add_workdir, config_from_workdir
from scoresde.cli.workdir import result_directory
from scoresde.registry import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_workdir(parser)
    parser.add_argument("--split", default="test", help="split of the data")
    parser.add_argument("--num", type=int, help="the first images of the split only")
    parser.add_argument("--probes", type=int, help="Hutchinson probes; config.likelihood.probes")
    parser.add_argument("--seed", type=int, default=0, help="of dequantisation noise and probes")
    parser.add_argument("--step", type=int, help="checkpoint to load; the latest if not given")
    parser.add_argument("--raw", action="store_true", help="the last parameters, not their EMA")
    parser.add_argument("--name", help="directory of the results; SPLIT_STEP if not given")
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results")
    parser.add_argument(
        "--baseline", action="store_true", help="also fit a Gaussian, and compare with it"
    )


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Evaluates; see the module's docstring."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import tqdm

    from scoresde import build, likelihood, training
    from scoresde.cli.sampling import to_host
    from scoresde.keys import sample_keys

    workdir = arguments.workdir
    experiment = build.experiment(config_from_workdir(workdir, overrides))
    settings = dict(experiment.settings["likelihood"])
    batch_size = settings.pop("batch_size")
    if arguments.probes is not None:
        settings["probes"] = arguments.probes
    source = experiment.source
    split = source.splits[arguments.split]
    num = len(split) if arguments.num is None else arguments.num
    if not 1 <= num <= len(split):
        raise UsageError(f"--num must be 1 .. {len(split)}, the images of {arguments.split!r}.")
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    step = arguments.step if arguments.step is not None else checkpoints.latest_step()
    params = checkpoints.restore_params(step, ema=not arguments.raw)
    name = arguments.name or f"{arguments.split}_{step}"
    directory = result_directory(workdir / "likelihood" / name, arguments.overwrite)

    mesh = training.make_mesh()
    denoiser = experiment.denoiser(training.replicate(mesh, params))
    batch_size = -(-min(batch_size, num) // mesh.size) * mesh.size
    noise_key, probe_key = jax.random.split(jax.random.key(arguments.seed))
    conditional = experiment.settings["data"]["labels"]

    def put(array):
        return jax.device_put(array, training.batch_sharding(mesh))

    nats, stderr, nfe, finished = [], [], [], []
    start = time.perf_counter()
    progress = tqdm.tqdm(total=num, unit="img", disable=None)
    for first in range(0, num, batch_size):
        rows = np.minimum(np.arange(first, first + batch_size), num - 1)  # the tail is filled up
        keep = slice(0, min(batch_size, num - first))
        x = experiment.to_network_range(
            sample_keys(noise_key, batch_size, first), split.images[rows], dequantize=True
        )
        result = likelihood.log_prob(
            put(sample_keys(probe_key, batch_size, first)),
            denoiser,
            put(x),
            labels=put(jnp.asarray(split.labels[rows])) if conditional else None,
            **settings,
        )
        for values, batch in zip(
            (nats, stderr, nfe, finished),
            (result.nats, result.stderr, result.nfe, result.finished),
        ):
            values.extend(to_host(batch)[keep])
        progress.update(keep.stop)
        progress.set_postfix_str(f"{_bits(np.array(nats), experiment).mean():.4f} bits/dim")
    progress.close()
    seconds = time.perf_counter() - start

    nats, stderr, nfe = np.array(nats), np.array(stderr), np.array(nfe)
    bits = _bits(nats, experiment)
    if not np.all(finished):
        unfinished = int(np.sum(~np.array(finished)))
        print(f"Warning: the solver did not finish for {unfinished} of {num} images.")
    dims = math.prod(experiment.image_shape)
    probe_part = float(np.sqrt(np.sum((stderr / dims / math.log(2)) ** 2)) / num)
    summary = {
        "bits_per_dim": float(bits.mean()),
        "standard_error": float(bits.std(ddof=1) / math.sqrt(num)) if num > 1 else None,
        "standard_error_of_probes": None if math.isnan(probe_part) else probe_part,
        "images": num,
        "split": arguments.split,
        "nfe_mean": float(nfe.mean()),
        "nfe_max": int(nfe.max()),
        "unfinished": int(np.sum(~np.array(finished))),
        "bins": source.levels,
        "data_range": experiment.data_range,
        "dequantization": "uniform",
        "t_min": experiment.sde.t_min if settings["t_min"] is None else settings["t_min"],
        **{key: settings[key] for key in ("probes", "trace", "rtol", "atol", "method")},
        "seed": arguments.seed,
        "step": step,
        "parameters": "raw" if arguments.raw else "ema",
        "seconds": round(seconds, 3),
        "devices": mesh.size,
    }
    if arguments.baseline:
        train = experiment.to_network_range(
            jax.random.fold_in(noise_key, 2**31 - 1), source.splits["train"].images, True
        )
        test = experiment.to_network_range(noise_key, split.images[:num], dequantize=True)
        floor = _bits(likelihood.gaussian_log_prob(train, test), experiment)
        summary["gaussian_bits_per_dim"] = float(floor.mean())
        gain = floor - bits
        summary["gain_over_gaussian"] = float(gain.mean())
        summary["gain_standard_error"] = float(gain.std(ddof=1) / math.sqrt(num))
    if jax.process_index() != 0:
        return
    files.write_arrays(
        directory / "per_image.npz",
        nats=nats,
        stderr=stderr,
        bits_per_dim=bits,
        nfe=nfe,
        finished=np.array(finished),
    )
    files.write_json(directory / "likelihood.json", summary)
    print(
        f"{summary['bits_per_dim']:.4f} bits/dim, standard error "
        f"{summary['standard_error'] or float('nan'):.4f} over {num} {arguments.split} images; "
        f"NFE {summary['nfe_mean']:.0f} an image; {seconds:.1f} s (compilation included)."
    )
    if arguments.baseline:
        print(
            f"A Gaussian fitted to the training images: {summary['gaussian_bits_per_dim']:.4f} "
            f"bits/dim; the model gains {summary['gain_over_gaussian']:.4f} "
            f"+- {summary['gain_standard_error']:.4f}."
        )
    for file in ("likelihood.json", "per_image.npz"):
        print(f"  {directory / file}")


def _bits(nats, experiment):
    from scoresde.likelihood import bits_per_dim

    return bits_per_dim(
        nats,
        math.prod(experiment.image_shape),
        bins=experiment.source.levels,
        data_range=experiment.data_range,
    )
