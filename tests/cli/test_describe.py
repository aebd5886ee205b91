"""`scoresde describe`: what it says about a network, without running it."""

import pathlib
import re

import jax
import pytest

from scoresde.cli import main
from scoresde.jobs import human_size

ROOT = pathlib.Path(__file__).parent.parent.parent
SMALL = [f"--config.network.{option}" for option in ("nf=16", "num_res_blocks=1", "ch_mult=(1,)")]


def describe(capsys, config, *overrides):
    """The printed numbers of each row, by the row's name."""
    assert main(["describe", "--config", str(ROOT / f"configs/{config}.py"), *overrides]) == 0
    text = capsys.readouterr().out
    rows = {}
    for line in text.splitlines():
        name, *columns = re.split(r"\s{2,}", line.strip())
        rows.setdefault(name, []).append(columns)
    return text, rows


def bytes_of(text):
    number, unit = text.split()
    return float(number) * 2 ** {"MiB": 20, "GiB": 30, "TiB": 40}[unit]


def test_a_network_that_fits_no_machine_is_described_without_making_it(capsys):
    """Attention over 1024x1024 pixels, with as many parameters as the largest published network."""
    before = {id(array) for array in jax.live_arrays()}
    wide = ["--config.network.nf=1024", "--config.network.ch_mult=(1,)"]
    text, rows = describe(capsys, "ve/ffhq_ncsnpp_continuous", *wide)
    made = [array for array in jax.live_arrays() if id(array) not in before]
    assert sum(array.nbytes for array in made) < 2**20
    count = int(text.partition(" ")[0].replace(",", ""))
    assert count > 10**8 and text.partition(";")[2].startswith(
        " images 1024x1024x3 in, 1024x1024x3 out.\n"
    )
    assert rows["stem"] == [["1", "1024x1024x1024", "28,672"]]
    assert rows["output"] == [["1", "1024x1024x3", "27,651"]]
    assert bytes_of(rows["forward"][0][1]) > 4 * 2**40  # the attention's weights
    # The float32 weights, their average and Adam's two moments.
    (state,) = rows["parameters, averages, the optimizer"]
    assert bytes_of(*state) == pytest.approx(4 * 4 * count, rel=0.01)


def test_costs_follow_from_the_config(capsys):
    _, rows = describe(capsys, "vp/digits", *SMALL, "--config.training.batch_size=32")

    def flops(rows, name):
        return float(rows[name][0][0])

    forward = flops(rows, "forward")
    assert flops(rows, "training step") == pytest.approx(3 * forward, rel=0.1)
    assert flops(rows, "likelihood evaluation, one probe") == pytest.approx(2 * forward, rel=0.1)
    assert bytes_of(rows["training step"][0][1]) > bytes_of(rows["forward"][0][1])
    assert "training, 32 images at once" in rows
    _, accumulated = describe(
        capsys,
        "vp/digits",
        *SMALL,
        "--config.training.batch_size=32",
        "--config.training.accumulate=4",
    )
    assert "training, 8 images at once" in accumulated
    ratio = bytes_of(rows["activations"][0][0]) / bytes_of(accumulated["activations"][0][0])
    # Not quite four: the gradients, which are not counted, are not all there at the peak.
    assert 4 <= ratio < 5


@pytest.mark.parametrize(
    "mebibytes, text",
    [(0.5, "0.5 MiB"), (1010, "1010 MiB"), (1024, "1 GiB"), (2**21, "2 TiB"), (2**31, "2048 TiB")],
)
def test_sizes_fit_their_column(mebibytes, text):
    assert human_size(mebibytes * 2**20) == text


def test_a_mistake_in_the_config_is_one_line(capsys):
    arguments = ["describe", "--config", str(ROOT / "configs/vp/digits.py")]
    assert main([*arguments, "--config.network.nf=10"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("scoresde: ") and error.count("\n") == 1


def test_classifiers_and_super_resolution_are_described(capsys):
    text, rows = describe(capsys, "classifier/digits")
    assert text.startswith("364,618 parameters; images 8x8x1 in, 10 logits out.")
    assert "gradient that guides" in rows
    small = ("num_channels=32", "num_res_blocks=1", "channel_mult=(1,)", "num_heads=1")
    small = [f"--config.network.{option}" for option in small]
    text, rows = describe(capsys, "adm/upsample_64_256", *small, "--config.training.batch_size=1")
    assert "images 256x256x3 in, 256x256x3 out" in text and "forward" in rows
