"""How time and memory grow with batch, width, resolution, depth, devices; likelihoods as well.

Example:
  python experiments/bench/growth.py --out experiments/bench/results/two_cpu_cores.json

Of each kind the smallest is the measure of the others, in turns with them. A training step's
memory is what XLA says its temporaries take. Exponents are those of the line through the
logarithms: 1 is in proportion. A likelihood's dimension is that of its images, of a network of
one width. What the file has of `run.py` is kept, and of other kinds.
"""

import argparse
import pathlib
import statistics

import jax
from ours import STEPS, Ours
from sizes import SIZES, Size
from table import growth
from timing import results, turns

import scoresde
from scoresde import files, training

BASE = SIZES["ddpmpp_small"]

STEP_GROWTH = {
    "batch": (4, 8, 16, 32),
    "width": (16, 32, 64),
    "resolution": (16, 32, 64),
    "depth": (1, 2, 4),
}


def size_of(kind: str, value: int) -> Size:
    """The small network with one thing changed."""
    changes = {**BASE.changes, "nf": 32, "num_res_blocks": 1}
    train, config = 8, {}
    if kind == "batch":
        train = value
    elif kind == "width":
        changes["nf"] = value
    elif kind == "depth":
        changes["num_res_blocks"] = value
    elif kind == "resolution":
        changes["attn_resolutions"] = (value // 2,)
        config["data.image_shape"] = (value, value, 3)
    return Size(
        config=BASE.config,
        changes=changes,
        settings=config,
        **{"train": train, "forward": train, "likelihood": 4},
    )


def steps(kind: str, values, rounds: int) -> list[dict]:
    """Of a training step: time and temporaries at each value."""
    cases = {value: Ours(size_of(kind, value), "float32").train() for value in values}
    found = turns({str(value): case.call for value, case in cases.items()}, rounds)
    base, rows = found[str(values[0])], []
    for value, case in cases.items():
        ratios = [a / b for a, b in zip(found[str(value)], base)]
        rows.append(
            {
                "kind": kind,
                "value": value,
                "seconds": statistics.median(found[str(value)]) / STEPS,
                "of_first": statistics.median(ratios),
                "temporaries": case.compiled.memory_analysis().temp_size_in_bytes,
                "flops": case.flops,
            }
        )
    return rows


def likelihoods(kind: str, values, rounds: int) -> list[dict]:
    """Of a likelihood: time and evaluations at each tolerance, or of images of each size."""
    cases = {}
    for value in values:
        size = size_of("resolution", value if kind == "dimension" else 16)
        tolerance = value if kind == "tolerance" else 1e-3
        cases[value] = Ours(size, "float32").likelihood(tolerance, 1)
    found = turns({str(value): case.call for value, case in cases.items()}, rounds)
    base, rows = found[str(values[0])], []
    for value, case in cases.items():
        ratios = [a / b for a, b in zip(found[str(value)], base)]
        rows.append(
            {
                "kind": f"likelihood, {kind}",
                "value": 3 * value**2 if kind == "dimension" else value,
                "seconds": statistics.median(found[str(value)]),
                "of_first": statistics.median(ratios),
                "nfe": case.work,
            }
        )
    return rows


def devices(rounds: int) -> list[dict]:
    """Of a training step with as many images a device, where there are several devices."""
    counts = [2**n for n in range(jax.device_count().bit_length()) if 2**n <= jax.device_count()]
    if len(counts) < 2:
        return []
    cases = {}
    for count in counts:
        size = size_of("batch", 8 * count)
        cases[count] = Ours(size, "float32").train(training.make_mesh(jax.devices()[:count]))
    found = turns({str(count): case.call for count, case in cases.items()}, rounds)
    return [
        {
            "kind": "devices",
            "value": count,
            "seconds": statistics.median(found[str(count)]) / STEPS,
            "of_first": statistics.median([a / b for a, b in zip(found[str(count)], found["1"])]),
            "temporaries": case.compiled.memory_analysis().temp_size_in_bytes,
        }
        for count, case in cases.items()
    ]


def main() -> None:
    """Measures, prints a table a kind, and writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[*STEP_GROWTH, "likelihood", "devices"])
    arguments = parser.parse_args()
    scoresde.configure()
    wanted = arguments.only or [*STEP_GROWTH, "likelihood", "devices"]
    found = results(arguments.out)
    print(found["machine"], flush=True)
    for kind in wanted:
        if kind == "likelihood":
            parts = [
                likelihoods("tolerance", (1e-2, 1e-3, 1e-4), arguments.rounds),
                likelihoods("dimension", (8, 16, 32), arguments.rounds),
            ]
        elif kind == "devices":
            parts = [devices(arguments.rounds)]
        else:
            parts = [steps(kind, STEP_GROWTH[kind], arguments.rounds)]
        for part in filter(None, parts):
            kept = [row for row in found.get("growth", ()) if row["kind"] != part[0]["kind"]]
            found["growth"] = kept + part
            files.write_json(arguments.out, found)
            print("\n" + growth(part), flush=True)
        jax.clear_caches()


if __name__ == "__main__":
    main()
