"""What more probes, other trace estimators and other solvers cost in a likelihood.

Example:
  python experiments/bench/likelihoods.py --workdir runs/demo --batch_size 16

The network of a work directory, on test images of its data set.
"""

import argparse
import dataclasses
import functools
import pathlib

import jax
import numpy as np
from timing import machine, paired

from scoresde import Run, likelihood

CASES = {
    "1 probe": {},
    "2 probes": {"probes": 2},
    "4 probes": {"probes": 4},
    "8 probes": {"probes": 8},
    "Hutch++, 4 probes": {"probes": 4, "trace": "hutch++"},
    "exact": {"trace": "exact"},
    "dopri5": {"method": "dopri5"},
    "tsit5": {"method": "tsit5"},
    "dopri8": {"method": "dopri8"},
    "float64 state": {"precision": "float64"},
}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    arguments = parser.parse_args()

    run, key = Run(arguments.workdir), jax.random.key(0)
    denoiser, codec = run.denoiser(), dataclasses.replace(run.experiment.codec, dequantize=True)
    x = codec.encode(key, run.experiment.source.splits["test"].images[: arguments.batch_size])
    tolerances = {"rtol": arguments.tolerance, "atol": arguments.tolerance}
    calls = {
        name: functools.partial(likelihood.log_prob, key, denoiser, x, **tolerances, **CASES[name])
        for name in arguments.cases
    }
    results = {name: call() for name, call in calls.items()}
    seconds = paired(calls, arguments.rounds)

    print(f"{machine()}; {arguments.workdir}, batch {len(x)}, tolerance {arguments.tolerance}\n")
    first = seconds[arguments.cases[0]]
    print("| | NFE, mean | NFE, most | ms an image | of the first | error of a probe mean, nats |")
    print("|---|---|---|---|---|---|")
    for name, result in results.items():
        ms = 1e3 * seconds[name] / len(x)
        nfe = np.asarray(result.nfe)
        print(
            f"| {name} | {nfe.mean():.0f} | {nfe.max()} | {ms:.1f} | {seconds[name] / first:.2f} "
            f"| {float(np.mean(result.stderr)):.3g} |"
        )


if __name__ == "__main__":
    main()
