"""docs/benchmarks.md, of every machine's file in `experiments/bench/results/`.

Example:
  python -m experiments.bench.table
"""

import itertools
import json
import math
import pathlib
import statistics

RESULTS = pathlib.Path(__file__).parent / "results"
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "benchmarks.md"

HOWS = ("eager", "channels_last", "compiled")

HEAD = (
    "| network | type | case | batch | ms a unit | of eager | of channels_last | of compiled "
    "| share of peak | until it runs, s | from the cache, s | memory, GB "
    "| of eager, GB |\n" + "|---" * 13 + "|"
)

ABOUT = """\
# Benchmarks

Made by `python -m experiments.bench.table` of the files that `make bench` writes, one a machine.
A training step and a call of the network are of a whole batch, sampling and the likelihood of one
evaluation of the network, each the median of turns with score_sde_pytorch's own functions on the
same machine in the same process, with random weights. "of" is our time over theirs: below 1 we
are faster. What they have no number for did not run, or was not asked for. Memory is that of the
program by XLA's analysis, and PyTorch's peak in eager mode. More, and how it was measured:
[experiments/bench](../experiments/bench/README.md).
"""


def line(row: dict) -> str:
    """A row of the table."""
    seconds, ready = row["seconds"], row["ready_seconds"]
    ours = seconds["scoresde"]
    cells = [row["size"], row["dtype"], row["case"], str(row["batch"]), f"{1e3 * ours:.2f}"]
    cells += [f"{ours / seconds[how]:.2f}" if how in seconds else "-" for how in HOWS]
    share, bytes_ = row.get("share_of_peak_flops"), row.get("program_bytes")
    cells.append("-" if share is None else f"{share:.0%}")
    cells += [
        f"{ready[name]:.0f}" if name in ready else "-" for name in ("scoresde", "scoresde, warm")
    ]
    for held in (bytes_, row.get("peak_bytes", {}).get("eager")):
        cells.append("-" if held is None else f"{held / 1e9:.2f}")
    return "| " + " | ".join(cells) + " |"


def growth(rows: list[dict]) -> str:
    """The table of one kind of growth, with the exponents of the lines through the logarithms."""
    kind, values = rows[0]["kind"], [row["value"] for row in rows]
    what, name, unit = ("temporaries", "temporaries, MB", 1e6)
    if "nfe" in rows[0]:
        what, name, unit = ("nfe", "evaluations", 1)
    lines = [f"| {kind} | time, of the first | {name} |", "|---|---|---|"]
    for row in rows:
        other = row[what] / unit
        lines.append(f"| {row['value']:g} | {row['of_first']:.2f} | {other:.0f} |")
    powers = [_exponent(values, [row[key] for row in rows]) for key in ("of_first", what)]
    lines.append(f"| exponent | {powers[0]:.2f} | {powers[1]:.2f} |")
    return "\n".join(lines)


def _exponent(values: list[float], others: list[float]) -> float:
    """Of the power of `values` that is nearest to `others`."""
    return statistics.linear_regression([*map(math.log, values)], [*map(math.log, others)]).slope


def page(found: list[dict]) -> str:
    """The page, of what the files hold."""
    parts = [ABOUT]
    for machine in found:
        parts.append(f"## {machine['machine']}\n")
        if about := machine.get("about"):
            parts.append(f"{about}\n")
        rows = sorted(machine["rows"], key=lambda row: (row["case"], row["size"], row["dtype"]))
        parts.append("\n".join([HEAD, *map(line, rows)]) + "\n")
        if "growth" in machine:
            parts.append("How a step, and a likelihood, of a small network grow:\n")
        for _, rows in itertools.groupby(machine.get("growth", ()), lambda row: row["kind"]):
            parts.append(growth(list(rows)) + "\n")
    return "\n".join(parts)


def main() -> None:
    """Writes the page."""
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    PAGE.write_text(page(found))
    print(PAGE)


if __name__ == "__main__":
    main()
