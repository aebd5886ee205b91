"""Turn another project's checkpoint into a work directory, for sample, likelihood and the rest.

Example:
  scoresde import score_sde_pytorch checkpoint_24.pth \\
      --config configs/ve/cifar10_ncsnpp_continuous.py --workdir runs/published

FORMAT is score_sde (JAX, msgpack), score_sde_pytorch (.pth) or edm (.npz or .safetensors); the last
two may be in any wrapper of a training script. CONFIG describes the network and how it is fed and
read. The moving average of the weights is taken unless --raw is given. Nothing that the file
contains is run. Nothing is written if a weight is missing, superfluous or misshapen.
docs/pretrained.md goes through the published checkpoints.
"""

import argparse
import dataclasses
import pathlib

from scoresde.cli.arguments import add_workdir, config_from_file
from scoresde.cli.workdir import save_config
from scoresde.registry import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("format", metavar="FORMAT", help="score_sde, score_sde_pytorch or edm")
    parser.add_argument(
        "file",
        metavar="FILE",
        type=pathlib.Path,
        help="the checkpoint; FILE#NAME is one of several sets of weights in it",
    )
    parser.add_argument(
        "--config", required=True, metavar="CONFIG", help="Python file with get_config()"
    )
    add_workdir(parser)
    parser.add_argument("--raw", action="store_true", help="the weights as trained, not their EMA")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Imports; see the module's docstring."""
    import jax
    import jax.numpy as jnp

    from scoresde import build, pretrained, training

    config = config_from_file(arguments.config, overrides)
    experiment = build.experiment(config)
    workdir = arguments.workdir
    if workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        raise UsageError(f"{workdir} is not empty. Give an empty or new --workdir.")
    params, step, averaged = pretrained.load_params(
        arguments.format,
        arguments.file,
        experiment.network,
        experiment.image_shape,
        raw=arguments.raw,
    )

    state = training.create_state(jax.random.key(experiment.seed), params, experiment.optimizer())
    state = dataclasses.replace(state, step=jnp.int32(step))
    save_config(workdir, config)
    # Training that goes on from here reads its data from the beginning.
    start = {"loader": {"batch": 0}}
    with training.Checkpoints(workdir / "checkpoints") as checkpoints:
        checkpoints.save(step, state, start)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    which = {
        True: "averaged weights",
        False: "weights as trained",
        None: "weights (averages or not, the file does not say)",
    }[averaged]
    print(f"{count:,} parameters, the {which} of step {step}, are in {workdir}.")
