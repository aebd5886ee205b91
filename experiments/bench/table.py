"""docs/benchmarks.md, of every machine's file in `experiments/bench/results/`.

Example:
  python -m experiments.bench.table
"""

import json
import pathlib

RESULTS = pathlib.Path(__file__).parent / "results"
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "benchmarks.md"

HOWS = ("eager", "channels_last", "compiled")

HEAD = (
    "| network | type | case | batch | ms a unit | of eager | of channels_last | of compiled "
    "| share of peak | until it runs, s | from the cache, s | memory, GB |\n" + "|---" * 12 + "|"
)

ABOUT = """\
# Benchmarks

Made by `python -m experiments.bench.table` of the files that `make bench` writes, one a machine.
A training step and a call of the network are of a whole batch, sampling and the likelihood of one
evaluation of the network, each the median of turns with score_sde_pytorch's own functions on the
same machine in the same process, with random weights. "of" is our time over theirs: below 1 we
are faster. What they have no number for did not run, or was not asked for. Memory is that of the
program by XLA's analysis. More, and how it was measured:
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
    cells.append("-" if bytes_ is None else f"{bytes_ / 1e9:.2f}")
    return "| " + " | ".join(cells) + " |"


def page(found: list[dict]) -> str:
    """The page, of what the files hold."""
    parts = [ABOUT]
    for machine in found:
        parts.append(f"## {machine['machine']}\n")
        if about := machine.get("about"):
            parts.append(f"{about}\n")
        parts.append("\n".join([HEAD, *map(line, machine["rows"])]) + "\n")
    return "\n".join(parts)


def main() -> None:
    """Writes the page."""
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    PAGE.write_text(page(found))
    print(PAGE)


if __name__ == "__main__":
    main()
