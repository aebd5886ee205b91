"""Likelihoods: the error that a solver makes against the evaluations that it takes.

Example:
  python experiments/likelihood_nfe.py --workdir runs/demo --out runs/nfe
  python experiments/likelihood_nfe.py --checkpoint MODEL.pth CONFIG.json --out runs/nfe

The network of a work directory, on test images; or a checkpoint of score_sde_pytorch (VE), on noise
about gray. Every candidate has the same images and probes; its error, in nats a dimension, is
against dopri5 at `--reference`, all with float64 states. "as score_sde" is the flow in its own t,
with one norm over x and log p: what people use. Writes results.csv, .md and .png to --out.
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import Run, files, likelihood, ode, pretrained, sdes
from scoresde.denoiser import BaseDenoiser, velocity_of_one
from scoresde.experiments import cells
from scoresde.keys import sample_keys
from scoresde.likelihood.trace import Rademacher, value_and_traces

TOLERANCES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)


@functools.partial(jax.jit, static_argnames="method")
def as_score_sde(
    keys: jax.Array, denoiser: BaseDenoiser, x: jax.Array, tolerance: float, method: str = "dopri5"
) -> tuple[jax.Array, jax.Array]:
    """log p in nats and NFE, [batch], with t as the time and one tolerance for x and log p.

    Args:
        keys: one a sample, from which its probe is drawn as `log_prob` draws it.
        denoiser: the denoiser.
        x: data, [batch, ...].
        tolerance: rtol and atol.
        method: of `scoresde.ode.METHODS`.
    """
    trace = Rademacher()

    def slopes(t, state, key, weighted):
        def velocity(x):
            return velocity_of_one(denoiser, x, t.astype(x.dtype), None)

        vectors, at = trace.draw(key, x.shape[1:], x.dtype), state[0].astype(x.dtype)
        slopes = value_and_traces(velocity, at, vectors, trace, wanted=weighted)
        return tuple(slope.astype(state[0].dtype) for slope in slopes)

    (latent, change), stats = ode.solve(
        slopes,
        (x.astype(float), jnp.zeros((len(x), 1), float)),
        denoiser.sde.t_min,
        denoiser.sde.t_max,
        args=keys,
        rtol=tolerance,
        atol=tolerance,
        method=method,
        integrals=True,
    )
    return denoiser.terminal_log_prob(latent) + change[:, 0], stats.nfe


def trained(workdir: pathlib.Path, num: int) -> tuple[BaseDenoiser, jax.Array]:
    """The model of a run, and dequantized test images."""
    run = Run(workdir)
    codec = dataclasses.replace(run.experiment.codec, dequantize=True)
    images = run.experiment.source.splits["test"].images[:num]
    return run.denoiser(), codec.encode(jax.random.key(0), images)


def imported(model: str, config: str, num: int) -> tuple[BaseDenoiser, jax.Array]:
    """A checkpoint of score_sde_pytorch, under VE, and noise about gray."""
    config = json.loads(pathlib.Path(config).read_text())
    denoiser = pretrained.load_score_sde_pytorch(pathlib.Path(model), config).denoiser(sdes.VE())
    size = config["data"]["image_size"]
    shape = num, size, size, config["data"]["num_channels"]
    return denoiser, jax.random.uniform(jax.random.key(0), shape)


def measure(
    denoiser: BaseDenoiser, x: jax.Array, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """A row for every candidate and tolerance, as they are finished."""
    keys = sample_keys(jax.random.key(1), len(x))
    # With 64 bits keys give other probes than without: all states have them, as the truth needs.
    log_prob = functools.partial(likelihood.log_prob, keys, denoiser, x, precision="float64")
    truth = log_prob(rtol=arguments.reference, atol=arguments.reference, method="dopri5")
    print(f"reference: NFE {np.asarray(truth.nfe).mean():.0f}", flush=True)
    rows = []
    for tolerance in arguments.tolerances:
        for name in ("as score_sde", *arguments.methods):
            if name == "as score_sde":
                with jax.enable_x64(True):
                    nats, nfe = as_score_sde(keys, denoiser, x, tolerance)
            else:
                result = log_prob(rtol=tolerance, atol=tolerance, method=name)
                nats, nfe = result.nats, result.nfe
            error = np.abs(np.asarray(nats, np.float64) - np.asarray(truth.nats)) / x[0].size
            row = {
                "cell": {"solver": name, "tolerance": tolerance},
                "nfe": float(np.asarray(nfe).mean()),
            }
            row |= {"error": float(error.mean()), "quantile": float(np.quantile(error, 0.95))}
            print(row, flush=True)
            rows.append(row)
    return rows


def write(directory: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    """The table, and error against NFE."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    directory.mkdir(parents=True, exist_ok=True)
    cells.write_csv(
        directory / "results.csv", rows, ["solver", "tolerance"], ["nfe", "error", "quantile"]
    )
    text = ["| solver | tolerance | NFE | error, nats/dim | 95 % |", "|---|---|---|---|---|"]
    for row in rows:
        cell = row["cell"]
        numbers = f"{row['nfe']:.0f} | {row['error']:.1e} | {row['quantile']:.1e}"
        text.append(f"| {cell['solver']} | {cell['tolerance']:.0e} | {numbers} |")
    files.write_text(directory / "results.md", "\n".join([*text, ""]))
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for solver in dict.fromkeys(row["cell"]["solver"] for row in rows):
        line = [row for row in rows if row["cell"]["solver"] == solver]
        nfe, error = ([row[name] for row in line] for name in ("nfe", "error"))
        axes.plot(nfe, error, marker="o", label=solver)
    axes.set(xscale="log", yscale="log", xlabel="network evaluations (NFE)")
    axes.set_ylabel("mean error of log p, nats/dim")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    with files.replacing(directory / "results.png") as file:
        figure.savefig(file, dpi=120, format="png")


def main() -> None:
    """Measures, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--workdir", type=pathlib.Path)
    model.add_argument("--checkpoint", nargs=2, metavar=("MODEL", "CONFIG"))
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--num", type=int, default=32)
    parser.add_argument("--reference", type=float, default=1e-6, help="tolerance of the truth")
    parser.add_argument("--tolerances", type=float, nargs="+", default=TOLERANCES)
    parser.add_argument("--methods", nargs="+", choices=list(ode.METHODS), default=["bs5"])
    arguments = parser.parse_args()
    if arguments.workdir is not None:
        denoiser, x = trained(arguments.workdir, arguments.num)
    else:
        denoiser, x = imported(*arguments.checkpoint, arguments.num)
    write(arguments.out, measure(denoiser, x, arguments))


if __name__ == "__main__":
    sys.exit(main())
