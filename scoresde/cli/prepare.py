"""Convert a data set once into arrays that training maps into memory.

Example:
  scoresde prepare photos/ --out data/photos64 --size 64 --test_fraction 0.02
  scoresde prepare cifar10-train.zip --test cifar10-test.zip --out data/cifar10
  scoresde prepare tfds:svhn_cropped --data_dir ~/tensorflow_datasets --out data/svhn

SOURCE is a folder of pictures (with folders train/ and test/, with a folder for each class, or
flat), a .zip file of EDM's dataset tool (dataset.json has the labels), an .npz file, a .tfrecords
file, tfds:NAME of a data set that `python -m scoresde.data.prepare NAME` downloaded, or a name of
`scoresde list sources`. The folder DIR is written whole or not at all.
"""

import argparse
import pathlib
import sys
import time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("source", metavar="SOURCE", help="the images, see below")
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, metavar="DIR", help="a new folder for the arrays"
    )
    parser.add_argument("--test", metavar="SOURCE", help="the test images, if they are elsewhere")
    parser.add_argument(
        "--test_fraction",
        type=float,
        metavar="SHARE",
        help="of the training images, drawn at random, to test with",
    )
    parser.add_argument(
        "--size", type=int, metavar="N", help="resize the largest central square to NxN pixels"
    )
    parser.add_argument(
        "--crop", type=int, metavar="N", help="cut out the central NxN pixels first"
    )
    parser.add_argument("--channels", type=int, choices=(1, 3), help="3 for RGB, 1 for gray")
    parser.add_argument("--data_dir", metavar="DIR", help="of tensorflow-datasets")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Converts; see the module's docstring."""
    from scoresde import data
    from scoresde.data.cache import telling
    from scoresde.jobs import human_size
    from scoresde.registry import UsageError

    if overrides:
        raise UsageError("Data are prepared for any config: leave out --config.KEY=VALUE.")
    with _Counting() as count, telling(count):
        source = data.prepare_arrays(
            arguments.source,
            arguments.out,
            test=arguments.test,
            test_fraction=arguments.test_fraction,
            image_size=arguments.size,
            crop=arguments.crop,
            channels=arguments.channels,
            data_dir=arguments.data_dir,
        )
    size = sum(file.stat().st_size for file in arguments.out.expanduser().iterdir())
    splits = ", ".join(f"{len(split):,} {key}" for key, split in source.splits.items())
    classes = f", {len(source.label_names)} classes" if source.label_names else ""
    shape = "x".join(map(str, source.image_shape))
    print(f"{arguments.out}: {splits} images of {shape}{classes}, {human_size(size)}. In a config:")
    print(f'  "source": {{"name": "arrays", "path": "{arguments.out.expanduser().resolve()}"}},')
    print(f'  "image_shape": {tuple(source.image_shape)},')


class _Counting:
    """Shows how many images are decoded: a bar on a terminal, else a line every half minute."""

    def __init__(self):
        self._bar, self._said = None, time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, count: int) -> None:
        from scoresde.jobs.bar import bar
        from scoresde.jobs.progress import QUIET

        if not sys.stderr.isatty():
            if time.monotonic() - self._said >= QUIET:
                self._said = time.monotonic()
                print(f"{done:,} of {count:,} images", file=sys.stderr, flush=True)
            return
        if self._bar is None or done < self._bar.n:  # of the next split
            self.__exit__()
            self._bar = bar(sys.stderr, total=count, unit="img")
        self._bar.update(done - self._bar.n)
