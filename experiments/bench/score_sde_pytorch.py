"""Against score_sde_pytorch: the same weights, images, tolerance and machine.

Example:
  git clone https://github.com/yang-song/score_sde_pytorch peers/score_sde_pytorch
  pip install torch==2.13.0
  python experiments/bench/score_sde_pytorch.py --reference peers/score_sde_pytorch

An NCSN++ of the published CIFAR-10 design (VE, FIR, residual input pyramid): the small checkpoint
of the tests, or with --nf one of any width with random weights. Two jobs: the likelihood function
(RK45 on the host there, on the device here), and predictor-corrector sampling.
"""

import argparse
import json
import pathlib
import sys
import types

import jax
import numpy as np
from timing import machine, paired

from scoresde import likelihood, pretrained, samplers, sdes

CHECKPOINT = pathlib.Path(__file__).parents[2] / "tests/data/golden/torch_checkpoint_ve.pth"


def reference_config(nf: int, ch_mult: list[int], blocks: int, size: int) -> dict:
    """What score_sde_pytorch's config of the network would hold."""
    return {
        "device": "cpu",
        "data": {"image_size": size, "num_channels": 3, "centered": False},
        "training": {"continuous": True},
        "model": {
            "name": "ncsnpp",
            "sigma_min": 0.01,
            "sigma_max": 50.0,
            "num_scales": 1000,
            "beta_min": 0.1,
            "beta_max": 20.0,
            "dropout": 0.0,
            "embedding_type": "fourier",
            "scale_by_sigma": True,
            "normalization": "GroupNorm",
            "nonlinearity": "swish",
            "nf": nf,
            "ch_mult": ch_mult,
            "num_res_blocks": blocks,
            "attn_resolutions": [size // 2],
            "resamp_with_conv": True,
            "conditional": True,
            "fir": True,
            "fir_kernel": [1, 3, 3, 1],
            "skip_rescale": True,
            "resblock_type": "biggan",
            "progressive": "none",
            "progressive_input": "residual",
            "progressive_combine": "sum",
            "attention_type": "ddpm",
            "init_scale": 0.02,  # as smooth as a trained network; with 0 it would be a constant
            "fourier_scale": 16,
            "conv_size": 3,
        },
    }


def _namespace(values):
    if isinstance(values, dict):
        return types.SimpleNamespace(**{key: _namespace(value) for key, value in values.items()})
    return values


def import_reference(path: pathlib.Path, device: str):
    """score_sde_pytorch's modules. On a CPU its CUDA extensions are not compiled, as it allows."""
    import torch
    from torch.utils import cpp_extension

    if device == "cpu":
        cpp_extension.load = lambda *args, **kwargs: None
    sys.path.insert(0, str(path))
    import likelihood as reference_likelihood
    import models.ncsnpp
    import sampling
    import sde_lib

    return torch, reference_likelihood, sampling, sde_lib, models.ncsnpp.NCSNpp


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=pathlib.Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of PyTorch")
    parser.add_argument("--nf", type=int, help="channels, for random weights")
    parser.add_argument("--ch_mult", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20, help="of predictor-corrector sampling")
    parser.add_argument("--tolerance", type=float, default=1e-5)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    if arguments.nf is None:
        config = json.loads(CHECKPOINT.with_suffix(".json").read_text())
        arguments.size = config["data"]["image_size"]
    else:
        config = reference_config(arguments.nf, arguments.ch_mult, arguments.blocks, arguments.size)
    torch, their_likelihood, sampling, sde_lib, their_network = import_reference(
        arguments.reference, arguments.device
    )
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    config_of_theirs = _namespace({**config, "device": arguments.device})
    theirs = their_network(config_of_theirs).to(arguments.device).eval()
    if arguments.nf is None:
        stored = torch.load(CHECKPOINT, map_location="cpu", weights_only=True)["model"]
        stored = {name.removeprefix("module."): value for name, value in stored.items()}
        theirs.load_state_dict(stored, strict=False)  # it has no sigmas
    weights = {name: value.cpu() for name, value in theirs.state_dict().items()}
    ours = pretrained.load_score_sde_pytorch(
        {name: value.numpy() for name, value in weights.items()}, config
    )
    denoiser = ours.denoiser(sdes.VE())

    rng = np.random.default_rng(0)
    shape = (arguments.batch_size, arguments.size, arguments.size, 3)
    x = rng.uniform(size=shape).astype(np.float32)
    x_theirs = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(arguments.device)
    key, tolerance = jax.random.key(0), arguments.tolerance

    def vesde(steps):
        return sde_lib.VESDE(sigma_min=0.01, sigma_max=50.0, N=steps)

    likelihood_of_theirs = their_likelihood.get_likelihood_fn(
        vesde(1000), lambda x: x, rtol=tolerance, atol=tolerance, eps=1e-5
    )
    sampler_of_theirs = sampling.get_pc_sampler(
        vesde(arguments.steps),
        tuple(x_theirs.shape),
        sampling.ReverseDiffusionPredictor,
        sampling.LangevinCorrector,
        lambda x: x,
        snr=0.16,
        continuous=True,
        eps=1e-5,
        device=arguments.device,
    )
    sampler = samplers.get("pc", snr=0.16, norm="batch", denoise="last_mean")

    def synchronized(call):
        result = call()
        if arguments.device == "cuda":
            torch.cuda.synchronize()
        return result

    def our_likelihood():
        return likelihood.log_prob(key, denoiser, x, rtol=tolerance, atol=tolerance, t_min=1e-5)

    def our_samples():
        return samplers.sample(key, sampler, denoiser, shape, steps=arguments.steps - 1)

    print(f"{machine()}; PyTorch {torch.__version__} on {arguments.device}")
    count = sum(value.numel() for value in weights.values())
    print(f"NCSN++ of {count:,} weights, {arguments.size}x{arguments.size}x3, batch {len(x)}\n")
    nfe = {
        "theirs": likelihood_of_theirs(theirs, x_theirs)[2],
        "ours": np.asarray(our_likelihood().nfe),
    }
    seconds = paired(
        {
            "theirs": lambda: synchronized(lambda: likelihood_of_theirs(theirs, x_theirs)),
            "ours": our_likelihood,
        },
        arguments.rounds,
    )
    print("| job | | NFE | ms an image | faster by |")
    print("|---|---|---|---|---|")
    per_image = {name: 1e3 * value / len(x) for name, value in seconds.items()}
    print(f"| likelihood | score_sde_pytorch | {nfe['theirs']} | {per_image['theirs']:.1f} | |")
    print(
        f"| | scoresde | {nfe['ours'].mean():.0f}, at most {nfe['ours'].max()} "
        f"| {per_image['ours']:.1f} | {seconds['theirs'] / seconds['ours']:.2f} |"
    )
    seconds = paired(
        {
            "theirs": lambda: synchronized(lambda: sampler_of_theirs(theirs)),
            "ours": lambda: our_samples().x,
        },
        arguments.rounds,
    )
    # As many evaluations for both: the grid of N - 1 steps has N times.
    calls = {"theirs": 2 * arguments.steps, "ours": int(our_samples().nfe[0])}
    each = {name: 1e3 * value / calls[name] for name, value in seconds.items()}
    print("\n| job | | NFE | ms an evaluation | faster by |")
    print("|---|---|---|---|---|")
    print(f"| PC sampling | score_sde_pytorch | {calls['theirs']} | {each['theirs']:.2f} | |")
    print(
        f"| | scoresde | {calls['ours']} | {each['ours']:.2f} "
        f"| {each['theirs'] / each['ours']:.2f} |"
    )


if __name__ == "__main__":
    main()
