"""Write the statistics of a set of images, for others to be compared with.

Example:
  scoresde stats --images train_images/ --features inception --out train.npz
  scoresde stats --data cifar10 --split train --features inception --out cifar10.npz

Mean and covariance as pytorch-fid's .npz, EDM2's .pkl or torch-fidelity's .pt, by the name's end;
with --keep_features the features themselves (.npz), which KID, precision and recall need.
"""

import argparse
import pathlib
from collections.abc import Mapping

from scoresde.cli.evaluate import add_features, extractor_of
from scoresde.cli.long_job import long_job
from scoresde.registry import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--images", metavar="PATH", help="a folder, .zip, .npz or .npy")
    what.add_argument("--data", metavar="NAME", help="a data set without options")
    what.add_argument("--workdir", type=pathlib.Path, metavar="DIR", help="the data of a run")
    parser.add_argument("--split", default="train", help="split of a data set")
    add_features(parser)
    parser.add_argument("--bins", type=int, help="gray levels of --images, if not 256")
    parser.add_argument("--batch_size", type=int, default=64, help="images at a time")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE")
    parser.add_argument("--keep_features", action="store_true", help="not their moments alone")
    parser.add_argument("--overwrite", action="store_true", help="replace the file")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Writes them; see the module's docstring."""
    if arguments.out.exists() and not arguments.overwrite:
        raise UsageError(f"{arguments.out} is there already: give another --out, or --overwrite.")
    if overrides and arguments.workdir is None:
        raise UsageError(f"{overrides[0]} is of the config of a run: give its --workdir.")
    with long_job(arguments, "images") as progress:
        from scoresde import data, metrics, quality, runs, training

        _check_end(arguments.out, metrics.stats.SUFFIXES, arguments.keep_features)
        chosen = runs.QualityProtocol(extractor=extractor_of(arguments))
        options = {
            "mesh": training.make_mesh(),
            "batch_size": arguments.batch_size,
            "progress": progress,
        }
        if arguments.images is not None:
            extractor = chosen.extractor_for("images")
            found, _ = quality.of_file(arguments.images, extractor, bins=arguments.bins, **options)
        else:
            source = (
                data.get(arguments.data)
                if arguments.data is not None
                else runs.Run(arguments.workdir, overrides).experiment.source
            )
            extractor = chosen.extractor_for(source.name)
            found, _ = quality.of_split(None, source, arguments.split, extractor, **options)
        if arguments.keep_features:
            features = found.need_features("--keep_features")
            metrics.stats.write_features(
                arguments.out, features, found.logits, extractor.protocol, arguments.overwrite
            )
        else:
            metrics.stats.write(arguments.out, found.moments, overwrite=arguments.overwrite)
    print(f"{found.num} images, {len(found.moments.mean)} features each of {extractor.name}")
    print(f"  {arguments.out}")
    return 0


def _check_end(out: pathlib.Path, ends: Mapping[str, str], features: bool) -> None:
    """Refuses a name that says nothing of the format, or another one, before hours are spent."""
    if features and out.suffix != ".npz":
        raise UsageError(f"--keep_features writes an .npz: let --out {out} end so.")
    if out.suffix not in ends:
        raise UsageError(f"--out {out} must end in {', '.join(ends)}, which says the format.")
