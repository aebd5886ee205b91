"""How fast images become Inception features, against torch-fidelity's network.

Example:
  pip install torch torch-fidelity
  OMP_WAIT_POLICY=PASSIVE python experiments/bench/features.py --batch_size 32

Random weights, the same for both, and random images; all five outputs, the resize included. Of
turns that follow each other the ratio is taken, and of the ratios the median: what else a machine
does hits both. Where it does much, PyTorch's threads must not wait actively, as above.
"""

import argparse
import statistics
import tempfile
import time

import scoresde

scoresde.configure()

import numpy as np  # noqa: E402  after configure
from timing import machine  # noqa: E402

from scoresde.metrics import inception  # noqa: E402

LAYERS = ["64", "192", "768", "2048", "logits_unbiased"]


def random_weights(generator: np.random.Generator) -> dict[str, np.ndarray]:
    """A state dict under which activations neither vanish nor grow."""
    state_dict = {}
    for name, shape in inception.shapes().items():
        if name.endswith("conv.weight"):
            bound = (3 / np.prod(shape[1:])) ** 0.5
            state_dict[name] = generator.uniform(-bound, bound, shape)
        elif name.endswith(("running_var", "bn.weight")):
            state_dict[name] = generator.uniform(0.8, 1.2, shape)
        else:
            state_dict[name] = generator.uniform(-0.1, 0.1, shape)
    return {name: array.astype(np.float32) for name, array in state_dict.items()}


def torch_fidelity(state_dict: dict[str, np.ndarray], images: np.ndarray, threads: int):
    """A function that runs torch-fidelity's network; its outputs in the order of `LAYERS`."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.set_num_threads(threads)
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save({name: torch.from_numpy(a) for name, a in state_dict.items()}, file.name)
        network = FeatureExtractorInceptionV3(
            "inception", LAYERS, feature_extractor_weights_path=file.name
        ).eval()
    batch = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())

    def call():
        with torch.inference_mode():
            return [output.numpy() for output in network(batch)]

    return call


def main() -> None:
    """Prints the seconds of each, and the median of the ratios of neighboring turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--image_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch's")
    arguments = parser.parse_args()

    generator = np.random.default_rng(0)
    state_dict = random_weights(generator)
    shape = (arguments.batch_size, arguments.image_size, arguments.image_size, 3)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    params = inception.load(state_dict)

    def ours():
        found = inception.features(params, images)
        return [np.asarray(found[layer]) for layer in LAYERS]

    theirs = torch_fidelity(state_dict, images, arguments.threads)
    gap = max(
        np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(ours(), theirs(), strict=True)
    )
    seconds = {"scoresde": [], "torch-fidelity": []}
    calls = {"scoresde": ours, "torch-fidelity": theirs}
    for turn in range(arguments.rounds):
        for name in list(calls)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - start)

    print(f"{machine()}; batch {arguments.batch_size}, outputs {gap:.1e} apart\n")
    print("| | images/s, median | ms an image |")
    print("|---|---|---|")
    for name, values in seconds.items():
        median = statistics.median(values) / arguments.batch_size
        print(f"| {name} | {1 / median:.1f} | {1e3 * median:.1f} |")
    ratios = [a / b for a, b in zip(*seconds.values())]
    print(f"\nSeconds of ours over theirs: {statistics.median(ratios):.2f}, median of the turns")


if __name__ == "__main__":
    main()
