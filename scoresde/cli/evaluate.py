"""Measure how good samples are: FID and FD, KID, IS, precision and recall, bits/dim, with errors.

Example:
  scoresde evaluate --workdir runs/digits --metrics fd,kid,is,precision,recall
  scoresde evaluate --workdir runs/digits --checkpoint best --metrics fd
  scoresde evaluate --workdir runs/digits --sweep sampler.steps=10,25,50 --metrics fd
  scoresde evaluate --images samples.npz --reference digits --features digits_classifier

Draws samples of a run, or takes those of a folder, .zip or .npz, and compares them with the
training images, or with --reference: images, or a file of statistics. Writes evaluation.json (each
number, its error, all that it depends on) and report.html to DIR/evaluation/NAME/. A run that was
stopped, or killed, goes on at the batch where it was. Numbers of different protocols (features,
resize, number of samples, reference) do not compare.
"""

import argparse
import pathlib
from typing import Any

from scoresde.cli.arguments import add_results, seed
from scoresde.cli.distributed import add_processes
from scoresde.cli.likelihood import literal
from scoresde.cli.long_job import long_job
from scoresde.registry import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--workdir", type=pathlib.Path, metavar="DIR", help="directory of the run")
    what.add_argument("--images", metavar="PATH", help="samples: a folder, .zip, .npz or .npy")
    parser.add_argument(
        "--metrics",
        default="fd,kid,precision,recall",
        help="of fid, fd, fd_infinity, kid, is, precision, recall, density, coverage, bpd",
    )
    add_features(parser)
    parser.add_argument(
        "--reference", metavar="PATH", help="images, statistics or a data set to compare with"
    )
    parser.add_argument("--split", default="train", help="split of the data to compare with")
    parser.add_argument("--num", type=int, help="samples; as many as training images")
    parser.add_argument("--batch_size", type=int, default=64, help="samples at a time")
    parser.add_argument("--seed", type=seed, default=0, help="the same seed gives the same samples")
    parser.add_argument("--bins", type=int, help="gray levels of --images, if not 256")
    parser.add_argument(
        "--checkpoint",
        metavar="STEP",
        help="a step, several (1000,2000), all, or best by the first metric; else the latest",
    )
    parser.add_argument(
        "--average", default="ema", help="average of the parameters, or raw; or several"
    )
    parser.add_argument("--raw", action="store_true", help="the last parameters, not an average")
    parser.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="KEY=V1,V2",
        help="values of a key of the config, as sampler.steps=10,25,50",
    )
    parser.add_argument(
        "--no_floor", action="store_true", help="do not measure the test images beside the samples"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, metavar="DIR", help="of --images: where results go"
    )
    add_results(parser, "step_STEP")
    add_processes(parser)


def add_features(parser: argparse.ArgumentParser) -> None:
    """Which features of images."""
    parser.add_argument(
        "--features",
        metavar="NAME",
        help="of `scoresde list features`, or your own; inception, or what suits bundled data",
    )
    parser.add_argument(
        "--feature",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the features, as resize=clean",
    )


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Evaluates; see the module's docstring. Returns 1 if no sample is finite."""
    with long_job(arguments, "images") as progress:
        from scoresde import runs

        options = {
            "metrics": _names(arguments.metrics),
            "extractor": extractor_of(arguments),
            "batch_size": arguments.batch_size,
            "reference": arguments.reference,
            "split": arguments.split,
        }
        if arguments.images is not None:
            _check_of_images(arguments, overrides)
            summary = _of_images(arguments, runs.QualityProtocol(**options), progress)
        else:
            _check_of_runs(arguments)
            protocol = runs.QualityProtocol(
                **options,
                num=arguments.num,
                seed=arguments.seed,
                checkpoints=_checkpoints(arguments.checkpoint),
                averages=(None,) if arguments.raw else _averages(arguments.average),
                sweep=_sweeps(arguments.sweep),
                floor=not arguments.no_floor,
            )
            summary = runs.Run(arguments.workdir, overrides).evaluate(
                protocol, name=arguments.name, overwrite=arguments.overwrite, progress=progress
            )
    if not summary:  # another process prints
        return 0
    _print(summary)
    return int(summary.get("unfinished", 0) == summary["num"])


def _of_images(arguments: argparse.Namespace, protocol: Any, progress: Any) -> dict[str, Any]:
    """Evaluates images that are there."""
    from scoresde import quality

    if arguments.reference is None:
        raise UsageError(
            "--images are compared with a --reference: images, a file of statistics, or the name "
            "of a data set."
        )
    images = pathlib.Path(arguments.images)
    quality.check_there(arguments.reference, images)  # before weights are looked for
    return quality.evaluate_images(
        images,
        arguments.reference,
        protocol.extractor_for(arguments.reference),
        metrics=protocol.metrics,
        split=protocol.split,
        bins=arguments.bins,
        batch_size=protocol.batch_size,
        directory=arguments.out or pathlib.Path("evaluation") / images.stem,
        overwrite=arguments.overwrite,
        progress=progress,
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _averages(text: str) -> tuple[str | None, ...]:
    """The averages; "raw", as results call it, is the last parameters."""
    return tuple(None if name == "raw" else name for name in _names(text))


def extractor_of(arguments: argparse.Namespace) -> Any:
    """The name of the features, or a section of it and options; None if none is given."""
    options = dict(literal("--feature", item) for item in arguments.feature)
    if options and arguments.features is None:
        raise UsageError("--feature is an option of --features NAME: give that as well.")
    return {"name": arguments.features, **options} if options else arguments.features


def _checkpoints(text: str | None) -> Any:
    if text is None or text in ("all", "best"):
        return text
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise UsageError(f"--checkpoint {text}: give a step, several (1000,2000), all or best.")
    return [int(part) for part in text.split(",")]


def _sweep(item: str) -> tuple[str, list[Any]]:
    """KEY=V1,V2,..., each a Python literal or a bare string."""
    key, is_one, text = item.partition("=")
    if not is_one or not text:
        raise UsageError(f"--sweep {item}: write KEY=V1,V2, with the =.")
    key = key.removeprefix("--").removeprefix("config.")
    return key, [literal("--sweep", f"{key}={value}")[1] for value in text.split(",")]


def _sweeps(items: list[str]) -> dict[str, list[Any]]:
    """The values of every key; those of a key that is given twice come one after the other."""
    found: dict[str, list[Any]] = {}
    for key, values in map(_sweep, items):
        found.setdefault(key, []).extend(values)
    return found


_OF_RUNS = ("checkpoint", "num", "sweep", "name", "seed", "raw", "no_floor")
_OF_IMAGES = ("out", "bins")


def _check_of_images(arguments: argparse.Namespace, overrides: list[str]) -> None:
    given = [f"--{name}" for name in _OF_RUNS if getattr(arguments, name)] + overrides
    if given:
        raise UsageError(f"{given[0]} is of the samples of a run, not of --images: leave it out.")


def _check_of_runs(arguments: argparse.Namespace) -> None:
    if given := [f"--{name}" for name in _OF_IMAGES if getattr(arguments, name) is not None]:
        raise UsageError(
            f"{given[0]} is of --images, not of a run, whose results go to its --workdir, below "
            "evaluation/NAME: leave it out, or give a --name."
        )


def _print(summary: dict[str, Any]) -> None:
    if bad := summary.get("unfinished"):
        print(
            f"Warning: {bad} of {summary['num']} samples are not finite, and counted as gray "
            "images. Let the sampler take more steps, or find what is not finite."
        )
    floor = summary.get("floor")
    for name, number in summary["metrics"].items():
        error = "" if number["error"] is None else f" +- {number['error']:.3g}"
        line = f"{number['label']}: {number['value']:.4f}{error}"
        if floor and name in floor["metrics"]:
            line += f"; {floor['images']} have {floor['metrics'][name]['value']:.4f}"
        print(line)
    cells = {tuple(row["cell"].items()) for row in summary["rows"]}
    if len(cells) > 1:
        words = ", ".join(f"{key} {value}" for key, value in summary["cell"].items())
        print(f"These are of the best of {len(cells)}: {words}.")
    for path in summary["files"]:
        print(f"  {path}")
