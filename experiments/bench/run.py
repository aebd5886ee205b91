"""Everything against score_sde_pytorch on this machine: a table, and a file of what was measured.

Example:
  git clone https://github.com/yang-song/score_sde_pytorch peers/score_sde_pytorch
  pip install torch scipy
  python experiments/bench/run.py --peer peers/score_sde_pytorch --out bench/h100.json

Both take turns in one process, with random weights. JAX takes only the memory it needs then, so
that there is some for PyTorch. Without --peer only scoresde is timed. A row is written as soon as
it is known, and `--only`, `--sizes` and `--dtypes` choose; what the file has already is kept, but
for rows that are measured again. Their likelihood has one probe: with eight only ours is timed.
Compiled programs go to a cache of this run, so that the first time until a step runs is a cold
one; a second one reads the cache (warm). `python -m experiments.bench.table` makes
docs/benchmarks.md of all files.

By default a CPU has the small networks in float32 beside PyTorch's eager mode, a GPU those of
CIFAR-10 in both types beside torch.compile as well. With `--missing --seconds 540`, as `make bench`
has them, a run takes about ten minutes, and another one goes on with what is left.
"""

import argparse
import itertools
import os
import pathlib
import tempfile
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
from ours import STEPS, Ours
from sizes import SIZES
from table import HEAD, HOWS, line
from timing import medians, results

import scoresde
from scoresde import files
from scoresde.speed.peaks import peaks_of

CASES = ("train", "forward", "pc", "flow", "likelihood", "likelihood_8")

# Sizes, types and ways of PyTorch that are measured where nothing else is asked for.
DEFAULTS = {
    "cpu": (("ddpmpp_small", "ncsnpp_small"), ("float32",), ("eager",)),
    "gpu": (("ddpmpp", "ncsnpp", "ddpmpp_deep"), ("bfloat16", "float32"), HOWS[::2]),
}


def measure(case: str, size: str, dtype: str, arguments: argparse.Namespace) -> dict:
    """A row: medians of seconds a unit of all candidates, and what XLA says of ours."""
    scaled = SIZES[size].times(arguments.batch_factor)
    ours = Ours(scaled, dtype)
    steps, tolerance = arguments.steps, arguments.tolerance
    make = {
        "forward": ours.forward,
        "train": ours.train,
        "pc": lambda: ours.pc(steps),
        "flow": lambda: ours.flow(tolerance),
        "likelihood": lambda: ours.likelihood(tolerance, 1),
        "likelihood_8": lambda: ours.likelihood(tolerance, 8),
    }[case]
    start = time.perf_counter()
    mine = make()
    ready = {"scoresde": time.perf_counter() - start}
    if case == "train":
        jax.clear_caches()
        start = time.perf_counter()
        mine = ours.train()
        ready["scoresde, warm"] = time.perf_counter() - start
    calls, work, memory = {"scoresde": mine.call}, {"scoresde": mine.work}, {}
    failed = {}
    for how in _ways(case, arguments):
        start = time.perf_counter()
        try:
            peer, calls[how], work[how] = _peer(case, scaled, size, dtype, how, arguments)
            calls[how]()
        except Exception as error:  # a peer that cannot do it is a result
            calls.pop(how, None)
            failed[how] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            continue
        ready[how] = time.perf_counter() - start
        memory[how] = peer.peak_memory(calls[how])
    seconds = medians(calls, arguments.rounds)
    row = {
        "case": case,
        "size": size,
        "dtype": dtype,
        "batch": getattr(scaled, _BATCH[case]),
        "unit": mine.unit,
        "work": work,
        "seconds": {name: value / work[name] for name, value in seconds.items()},
        "ready_seconds": ready,
        "peak_bytes": memory,
        "failed": failed,
    }
    return row | _cost(mine, dtype, row["seconds"]["scoresde"])


_BATCH = {
    **{"forward": "forward", "train": "train", "pc": "forward", "flow": "forward"},
    **{"likelihood": "likelihood", "likelihood_8": "likelihood"},
}


def _ways(case, arguments):
    """Of PyTorch, to measure a case in."""
    return arguments.hows if arguments.peer and case != "likelihood_8" else ()


def _peer(case, scaled, size, dtype, how, arguments):
    from score_sde_peer import ScoreSDEPyTorch

    config = scaled.load(dtype)
    network = {key: value for key, value in config.network.items() if key != "dtype"}
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    peer = ScoreSDEPyTorch(arguments.peer, network, config.sde.name, device, dtype, how)
    count = getattr(scaled, _BATCH[case])
    if case == "forward":
        return peer, peer.forward(count), 1
    if case == "train":
        return peer, peer.train(count, STEPS), STEPS
    if case == "pc":
        return peer, *peer.pc(count, arguments.steps)
    if case == "flow":
        return peer, *peer.flow(count, arguments.tolerance)
    return peer, *peer.likelihood(count, arguments.tolerance)


def _cost(mine, dtype, seconds):
    """Shares of the device's peaks, and memory, of a program that XLA can tell the cost of."""
    if mine.compiled is None:
        return {}
    cost, memory = mine.compiled.cost_analysis(), mine.compiled.memory_analysis()
    row = {
        "flops": mine.flops,
        "bytes_accessed": cost.get("bytes accessed"),
        "program_bytes": memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes,
    }
    peaks = peaks_of(jax.devices()[0].device_kind, dtype)
    if peaks is not None:
        row["share_of_peak_flops"] = row["flops"] / seconds / peaks.flops
        row["share_of_bandwidth"] = row["bytes_accessed"] / seconds / peaks.bytes
    return row


def main() -> None:
    """Measures what is asked for, and prints the table of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=pathlib.Path, metavar="CHECKOUT")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES))
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"))
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--hows", nargs="+", choices=HOWS, help="of PyTorch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="of predictor-corrector sampling")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--batch_factor", type=float, default=1.0, help="times each batch")
    parser.add_argument(
        "--seconds",
        type=float,
        help="start nothing that would end later, if it takes as long as the case did before",
    )
    parser.add_argument("--missing", action="store_true", help="only what --out does not have")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        scoresde.configure(cache)
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    """Measures row by row, all of the most important network first, and prints all of them last."""
    sizes, dtypes, hows = DEFAULTS["cpu" if jax.default_backend() == "cpu" else "gpu"]
    arguments.sizes, arguments.dtypes = arguments.sizes or sizes, arguments.dtypes or dtypes
    arguments.hows = arguments.hows or hows
    found = results(arguments.out)
    start, took, left_out = time.perf_counter(), {}, []
    for size, dtype, case in itertools.product(arguments.sizes, arguments.dtypes, arguments.only):
        batch = getattr(SIZES[size].times(arguments.batch_factor), _BATCH[case])
        this = {"case": case, "size": size, "dtype": dtype, "batch": batch}
        same, others = [], []
        for row in found["rows"]:
            (same if {name: row[name] for name in this} == this else others).append(row)
        wanted = set(_ways(case, arguments))
        if arguments.missing and any(wanted <= {*row["seconds"], *row["failed"]} for row in same):
            continue
        began = time.perf_counter()
        if arguments.seconds and began - start + took.get(case, 0) > arguments.seconds:
            left_out.append(f"{case} of {size} in {dtype}")
            continue
        row = measure(case, size, dtype, arguments)
        took[case] = max(took.get(case, 0), time.perf_counter() - began)
        if row["failed"]:
            print(row["failed"])
        found["rows"] = [*others, row]
        files.write_json(arguments.out, found)
        print(line(row), flush=True)
        jax.clear_caches()
    if left_out:
        print(f"\nLeft out for want of time: {', '.join(left_out)}")
    print(f"\n{found['machine']}\n\n{HEAD}")
    for row in found["rows"]:
        print(line(row))


if __name__ == "__main__":
    main()
