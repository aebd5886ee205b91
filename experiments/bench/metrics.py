"""Time and memory of the numbers that are computed from features.

Example:
  python experiments/bench/metrics.py --nums 10000 50000

Features of Inception's length, correlated and not below zero as they are there, as many generated
as of the reference. Every case is a process of its own, whose most memory is given; "before" is the
most that it had until the features, of both sets and in float32, were there. On a machine with
other work, the seconds of all cores together are what compares.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
from timing import machine

from scoresde import metrics

CASES = {
    "moments of one set": lambda gen, ref: metrics.Statistics().update(gen).result(),
    "frechet": None,  # of moments, which are not counted
    "inception_score": lambda gen, ref: metrics.inception_score(gen[:, :1008]),
    "kid, 100 subsets of 1000": lambda gen, ref: metrics.kid(gen, ref),
    "kid_blocks of 1024": lambda gen, ref: metrics.kid_blocks(gen, ref),
    "kid_all": lambda gen, ref: metrics.kid_all(gen, ref),
    "prdc": lambda gen, ref: metrics.prdc(gen, ref),
}


def features(seed: int, num: int, length: int) -> np.ndarray:
    """Features in float32, [num, length]."""
    mixing = np.random.default_rng(0).normal(size=(32, length)).astype(np.float32)
    rng = np.random.default_rng(seed)
    made = rng.standard_normal((num, length), np.float32)
    made *= 0.2
    made += rng.standard_normal((num, 32), np.float32) @ mixing * 0.1 + 0.4
    return np.maximum(made, 0, out=made)


def peak() -> float:
    """The most memory that this process had so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(case: str, num: int, length: int) -> dict[str, float]:
    """Seconds and memory of one case, and what it gives."""
    gen, ref = features(1, num, length), features(2, num, length)
    call = CASES[case]
    if case == "frechet":
        few = slice(4 * length)  # which its time does not depend on
        moments = [metrics.Statistics().update(x[few]).result() for x in (gen, ref)]
        call = lambda gen, ref: metrics.frechet(*moments[0], *moments[1])  # noqa: E731
    before, start, cpu = peak(), time.perf_counter(), time.process_time()
    result = call(gen, ref)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    shown = "" if isinstance(result, metrics.Moments) else str(result)
    return {"seconds": seconds, "cpu": cpu, "before": before, "peak": peak(), "result": shown}


def main() -> None:
    """Prints the table, or measures one case for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nums", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--one", action="store_true", help="one case in this process, as JSON")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.one:
        print(json.dumps(measure(arguments.cases[0], arguments.nums[0], arguments.length)))
        return

    print(f"{machine()}; {arguments.length} numbers an image\n")
    print("| | images of each | seconds | of all cores | before, GiB | at most, GiB |")
    print("|---|---|---|---|---|---|")
    for num in arguments.nums:
        for case in arguments.cases:
            options = ["--nums", str(num), "--length", str(arguments.length), "--cases", case]
            command = [sys.executable, __file__, "--one", *options]
            found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            print(
                f"| {case} | {num} | {found['seconds']:.1f} | {found['cpu']:.1f} "
                f"| {found['before']:.2f} | {found['peak']:.2f} |",
                flush=True,
            )
            print(f"  {found['result']}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
