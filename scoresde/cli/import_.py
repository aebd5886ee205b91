"""Turn another project's checkpoint into a work directory, for sample, likelihood and the rest.

Example:
  scoresde import score_sde_pytorch checkpoint_24.pth \\
      --config ve/cifar10_ncsnpp_continuous --workdir runs/published

FORMAT is score_sde or score_sde_classifier (JAX, msgpack), score_sde_pytorch (.pth), edm or edm2
(.npz or .safetensors), openai (.pt of improved-diffusion and guided-diffusion) or, of what was
trained with use_new_attention_order, as 64x64_diffusion.pt, openai_new_attention_order; all but
msgpack may be in any wrapper of a training script. CONFIG describes the network and how it is fed
and read. The moving average of the weights is taken unless --raw is given. Nothing that the file
contains is run. Nothing is written if a weight is missing, superfluous or misshapen.
docs/pretrained.md goes through the published checkpoints.
"""

import argparse
import pathlib

from scoresde.cli.arguments import add_config, add_workdir

# Bytes of a file that takes long to read.
_LARGE = 100 * 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "format", metavar="FORMAT", help="score_sde, score_sde_pytorch, edm, openai, ..."
    )
    parser.add_argument(
        "file", metavar="FILE", help="the checkpoint; FILE#NAME is one of several weights in it"
    )
    add_config(parser)
    add_workdir(parser)
    parser.add_argument("--raw", action="store_true", help="the weights as trained, not their EMA")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Imports; see the module's docstring."""
    from scoresde import experiment, jobs, runs

    config = experiment.load_config(arguments.config, overrides)
    file = pathlib.Path(arguments.file.partition("#")[0])
    if file.is_file() and (size := file.stat().st_size) >= _LARGE:
        jobs.say(f"Reading {size / 2**20:,.0f} MiB; the run goes to {arguments.workdir} ...")
    imported = runs.import_checkpoint(
        config, arguments.workdir, arguments.format, arguments.file, raw=arguments.raw
    )
    which = {
        True: "averaged weights",
        False: "weights as trained",
        None: "weights (averages or not, the file does not say)",
    }[imported.averaged]
    print(
        f"{imported.parameters:,} parameters, the {which} of step {imported.step}, are in "
        f"{arguments.workdir}."
    )
