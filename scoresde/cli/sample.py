"""Draw samples from a trained model.

Example:
  scoresde sample --workdir runs/digits --num 64 --animation
  scoresde sample --workdir runs/digits --name heun --config.sampler.name=heun

Writes DIR/samples/NAME/: samples.npz (uint8 levels), grid.png, samples.json (how they were drawn)
and, with --animation, noise_to_image.gif.
"""

import argparse
import time

from scoresde import files
from scoresde.cli.arguments import add_workdir, config_from_workdir, result_name, seed
from scoresde.cli.workdir import process_sections, result_directory
from scoresde.registry import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_workdir(parser)
    parser.add_argument("--num", type=int, default=64, help="number of samples")
    parser.add_argument("--batch_size", type=int, default=64, help="samples at a time")
    parser.add_argument("--seed", type=seed, default=0, help="the same seed gives the same samples")
    parser.add_argument("--step", type=int, help="checkpoint to load; the latest if not given")
    parser.add_argument("--raw", action="store_true", help="the last parameters, not their EMA")
    parser.add_argument("--label", type=int, help="class of a class-conditional network")
    parser.add_argument(
        "--name", type=result_name, help="directory of the results; step_STEP if not given"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results")
    parser.add_argument("--animation", action="store_true", help="also write noise_to_image.gif")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Samples; see the module's docstring."""
    import jax
    import numpy as np

    from scoresde import build, data, training
    from scoresde.cli.sampling import draw

    if arguments.num < 1 or arguments.batch_size < 1:
        raise UsageError("--num and --batch_size must be at least 1.")
    workdir = arguments.workdir
    config = config_from_workdir(workdir, overrides)
    experiment = build.experiment(config)
    labels = _labels(experiment, arguments)
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    step = arguments.step if arguments.step is not None else checkpoints.latest_step()
    params = checkpoints.restore_params(
        step, ema=not arguments.raw, abstract_params=experiment.abstract_params
    )
    name = arguments.name or f"step_{step}"
    directory = result_directory(workdir / "samples" / name, arguments.overwrite)

    mesh, levels = training.make_mesh(), experiment.source.bins
    start = time.perf_counter()
    stride = _stride(experiment) if arguments.animation else None
    sampling = experiment.sampling
    if arguments.animation and sampling["steps"] is None and sampling["grid"] is None:
        sampling["steps"] = 60  # where an adaptive solver records
    drawn = draw(
        experiment,
        params,
        jax.random.key(arguments.seed),
        arguments.num,
        mesh=mesh,
        batch_size=arguments.batch_size,
        labels=labels,
        trajectory=stride,
    )
    seconds = time.perf_counter() - start

    if jax.process_index() != 0:
        return
    shown = drawn.images[:100]
    data.save_grid(directory / "grid.png", shown, bins=levels)
    written = [directory / "grid.png"]
    if arguments.animation:
        frames = [*drawn.trajectory[:, : len(shown)], *[shown] * 15]  # rests on the samples
        data.save_animation(directory / "noise_to_image.gif", frames, bins=levels)
        written.append(directory / "noise_to_image.gif")
    else:  # one of earlier samples
        (directory / "noise_to_image.gif").unlink(missing_ok=True)
    arrays = {"samples": drawn.images, "nfe": drawn.nfe}
    if labels is not None:
        arrays["labels"] = labels
    files.write_arrays(directory / "samples.npz", **arrays)
    summary = {
        "num": arguments.num,
        "seed": arguments.seed,
        "step": step,
        "parameters": "raw" if arguments.raw else "ema",
        "sampler": config.sampler.to_dict(),
        "config": process_sections(config),
        "t_min": experiment.sampling_t_min,
        "nfe_mean": float(np.mean(drawn.nfe)),
        "nfe_max": int(np.max(drawn.nfe)),
        "levels": levels,
        "rounding": "floor" if experiment.settings["data"]["dequantize"] else "nearest",
        "seconds": round(seconds, 3),
        "devices": mesh.size,
    }
    files.write_json(directory / "samples.json", summary)
    print(
        f"{arguments.num} samples of step {step} in {seconds:.1f} s, "
        f"NFE {summary['nfe_mean']:.0f} a sample (compilation included)."
    )
    for path in [*written, directory / "samples.npz", directory / "samples.json"]:
        print(f"  {path}")


def _labels(experiment, arguments):
    import numpy as np

    from scoresde.cli.sampling import class_labels

    labels = class_labels(experiment, arguments.num)
    if arguments.label is None:
        return labels
    if labels is None:
        raise UsageError("--label needs a network trained with config.data.labels=True.")
    classes = max(1, len(experiment.source.label_names))
    if not 0 <= arguments.label < classes:
        raise UsageError(f"--label must be 0 .. {classes - 1}, got {arguments.label}.")
    return np.full(arguments.num, arguments.label)


def _stride(experiment):
    """So that an animation has about 60 frames."""
    steps = experiment.sampling["steps"]
    grid = experiment.sampling["grid"]
    if steps is None:
        steps = len(grid) - 1 if grid is not None and not isinstance(grid, str) else 60
    return max(1, steps // 60)
