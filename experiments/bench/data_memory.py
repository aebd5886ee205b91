"""How much of a memory-mapped data set stays in memory over an epoch, and images a second.

Example:
  python -m experiments.bench.data_memory --folder /tmp/images

Writes `--images` random images of 64x64x3 and runs a loader over one epoch, as a process by itself
and as each of two, in a process of its own; once reading (what `data.Split` does), and once by
NumPy's indexing of the mapped file.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from scoresde import data
from scoresde.data import split as split_module

SHAPE, BATCH = (64, 64, 3), 128


def main() -> None:
    """Writes, measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--folder", type=pathlib.Path, help="kept; a temporary one if not given")
    parser.add_argument("--child", nargs=3, metavar=("HOW", "INDEX", "COUNT"), help="for itself")
    arguments = parser.parse_args()
    if arguments.child:
        how, index, count = arguments.child
        print(json.dumps(epoch(arguments.folder, how, int(index), int(count))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or pathlib.Path(temporary)
        write(folder, arguments.images)
        print("| | process | RssFile at the start | a tenth | half | the end | RSS | images/s |")
        print("|---|---|---|---|---|---|---|---|")
        for how in ("mapped", "read"):
            for index, count in ((0, 1), (0, 2), (1, 2)):
                child = ["--child", how, str(index), str(count), "--folder", str(folder)]
                command = [sys.executable, "-m", "experiments.bench.data_memory", *child]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found = json.loads(output.splitlines()[-1])
                megabytes = " | ".join(f"{value:.0f} MB" for value in found["megabytes"])
                print(f"| {how} | {index + 1} of {count} | {megabytes} | {found['speed']:,.0f} |")


def write(folder: pathlib.Path, num: int) -> None:
    """The images, unless they are there."""
    path = folder / "train_image.npy"
    if path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(num, *SHAPE))
    rng = np.random.default_rng(0)
    for start in range(0, num, 2000):
        images[start : start + 2000] = rng.integers(0, 256, images[:2000].shape, np.uint8)
    images.flush()


def resident(name: str) -> float:
    """Of this process, in megabytes."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def epoch(folder: pathlib.Path, how: str, index: int, count: int) -> dict:
    """RssFile at four moments and RSS at the end, in megabytes, and images a second."""
    if how == "mapped":
        split_module.rows_of = lambda array, rows: array[rows]
    split = data.get("arrays", path=str(folder)).splits["train"]
    options = {"seed": 0, "repeat": False, "process_index": index, "process_count": count}
    batches = len(split) // (BATCH * count)
    files, start = [resident("RssFile")], time.perf_counter()
    for number, _ in enumerate(data.Loader(split, BATCH, **options), start=1):
        if number in (batches // 10, batches // 2, batches):
            files.append(resident("RssFile"))
    speed = batches * BATCH / (time.perf_counter() - start)
    return {"megabytes": [*files, resident("VmRSS")], "speed": speed}


if __name__ == "__main__":
    main()
