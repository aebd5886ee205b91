"""`scoresde import`: another project's checkpoint becomes a work directory like any other."""

import json

import jax
import numpy as np
import pytest

from scoresde import pretrained, runs, training
from scoresde.cli import main
from scoresde.pretrained import flax_file, torch_file
from tests.pretrained.conftest import Golden

NETWORK = ("name", "nf", "ch_mult", "num_res_blocks", "attn_resolutions", "fir", "skip_rescale")
NETWORK += ("resblock_type", "progressive", "progressive_input", "embedding_type", "fourier_scale")
NETWORK += ("scale_by_sigma", "dropout")
DDPM = ("name", "nf", "ch_mult", "num_res_blocks", "attn_resolutions", "dropout")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four 16x16 color images of five classes, as a file."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    labels = np.array([0, 1, 2, 4])
    np.savez(path, image=images, label=labels, is_test=np.arange(4) >= 2)
    return str(path)


@pytest.fixture
def configure(tmp_path, data):
    """Writes a config with these sections; returns its path."""

    def write(**sections):
        labels = sections.pop("labels", False)
        config = {
            "data": {
                "source": {"name": "arrays", "path": data},
                "image_shape": (16, 16, 3),
                "data_range": sections.pop("data_range"),
                "labels": labels,
            },
            "likelihood": {"rtol": 0.05, "atol": 0.05},
            "training": {
                "batch_size": 2,
                "num_steps": 1,
                "eval_every": 0,
                "sample_every": 0,
            },
            **sections,
        }
        path = tmp_path / "config.py"
        path.write_text(
            "import ml_collections\n\n"
            f"def get_config():\n    return ml_collections.ConfigDict({config!r})\n"
        )
        return str(path)

    return write


@pytest.fixture
def exploding(configure):
    """A config for the NCSN++ of the golden checkpoints."""

    def write(case, **changes):
        network = {key: case.config["model"][key] for key in NETWORK} | {"centered": False}
        return configure(
            data_range=(0.0, 1.0),
            sde={"name": "ve", "sigma_min": 0.01, "sigma_max": 50.0},
            prediction={"name": "score", "time_input": "sigma"},
            network=network | changes,
            sampler={"name": "pc", "steps": 3},
        )

    return write


def run(*arguments):
    assert main([str(argument) for argument in arguments]) == 0


def sampled(workdir, num):
    """What `scoresde sample` gives."""
    run("sample", "--workdir", workdir, "--num", num, "--name", "a")
    with np.load(workdir / "samples/a/samples.npz") as samples:
        assert samples["samples"].shape == (num, 16, 16, 3)
        return dict(samples)


def evaluated(workdir):
    """What `scoresde likelihood` says of two images."""
    run("likelihood", "--workdir", workdir, "--num", "2", "--name", "a")
    result = json.loads((workdir / "likelihood/a/likelihood.json").read_text())
    assert result["unfinished"] == 0 and 5 < result["bits_per_dim"] < 50
    return result


def refused(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("scoresde: ") and error.count("\n") == 1
    return error


def stored(workdir):
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    step = checkpoints.latest_step()
    return step, *(checkpoints.restore_params(step, average=average) for average in ("ema", None))


def same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_pytorch_checkpoint_gives_its_average(exploding, tmp_path, capsys):
    case, workdir = Golden("torch_checkpoint_ve"), tmp_path / "run"
    config, file = exploding(case), case.file(".pth")
    run("import", "score_sde_pytorch", file, "--config", config, "--workdir", workdir)
    assert "48,763 parameters, the averaged weights" in capsys.readouterr().out
    step, average, raw = stored(workdir)
    assert step == torch_file.read(file)["step"]
    same(average, pretrained.load_score_sde_pytorch(file, case.config).params)
    same(average, raw)


def test_a_jax_checkpoint_gives_its_average_or_the_weights_as_trained(exploding, tmp_path):
    case = Golden("flax_checkpoint_ve")
    config, file = exploding(case), case.file(".msgpack")
    for flags in ([], ["--raw"]):
        workdir = tmp_path / f"run{len(flags)}"
        run("import", "score_sde", file, "--config", config, "--workdir", workdir, *flags)
        step, average, _ = stored(workdir)
        assert step == flax_file.read(file)["step"]
        same(average, pretrained.load_score_sde(file, case.config, raw=bool(flags)).params)


@pytest.mark.slow
def test_an_imported_network_can_be_sampled_evaluated_and_trained_on(configure, tmp_path):
    """The smallest of the originals; what follows an import does not depend on the network."""
    case, workdir = Golden("ddpm_vp"), tmp_path / "run"
    checkpoint = tmp_path / "weights.npz"
    np.savez(checkpoint, **case.state_dict)
    config = configure(
        data_range=(-1.0, 1.0),
        sde={"name": "vp"},
        prediction={"name": "noise", "time_input": "scaled_time"},
        network={key: case.config["model"][key] for key in DDPM},
        sampler={"name": "pc", "steps": 3},
    )
    run("import", "score_sde_pytorch", checkpoint, "--config", config, "--workdir", workdir)
    assert (sampled(workdir, 2)["nfe"] == 8).all()
    assert evaluated(workdir)["step"] == 0
    run("train", "--workdir", workdir, "--config", config)
    assert stored(workdir)[0] == 1


@pytest.mark.thorough
def test_an_edm_network_samples_its_classes(configure, tmp_path):
    case, workdir = Golden("edm_ddpmpp_edmprecond_cond"), tmp_path / "run"
    np.savez(tmp_path / "weights.npz", **case.state_dict)
    outside = ("precond", "model_type", "img_resolution", "img_channels")
    network = {key: value for key, value in case.config.items() if key not in outside}
    config = configure(
        labels=True,
        data_range=(-1.0, 1.0),
        sde={"name": "edm"},
        prediction={"name": "edm"},
        network={"name": "song_unet", **network},
        sampler={"name": "edm", "steps": 2},
    )
    arguments = ["edm", tmp_path / "weights.npz", "--config", config, "--workdir", workdir]
    run("import", *arguments)
    step, average, _ = stored(workdir)
    assert step == 0
    same(average, pretrained.load_edm(case.state_dict, case.config).params)
    samples = sampled(workdir, 3)
    assert (samples["nfe"] == 5).all() and list(samples["labels"]) == [0, 1, 2]


def test_a_raw_pickle_is_not_run(exploding, tmp_path, capsys):
    """The original's release of EDM is a program; ours says how to export it, and runs nothing."""
    config = exploding(Golden("torch_checkpoint_ve"))
    proof, workdir = tmp_path / "proof", tmp_path / "run"
    program = f"cos\nsystem\n(S'touch {proof}'\ntR.".encode()
    for file in (tmp_path / "edm.pkl", tmp_path / "edm.pth"):
        file.write_bytes(program)
        error = refused(capsys, "import", "edm", file, "--config", config, "--workdir", workdir)
        assert ("numpy.savez" in error) == (file.suffix == ".pkl")
    assert not proof.exists() and not workdir.exists()


def test_every_weight_that_does_not_fit_is_listed_and_nothing_is_written(
    exploding, tmp_path, capsys
):
    case, workdir = Golden("torch_checkpoint_ve"), tmp_path / "run"
    arguments = ["import", "score_sde_pytorch", case.file(".pth"), "--workdir", workdir]
    message = refused(capsys, *arguments, "--config", exploding(case, num_res_blocks=2))
    assert "missing " in message and "has shape" in message
    message = refused(capsys, *arguments, "--config", exploding(case, nf=16))
    assert "Conv_0/kernel has shape (3, 3, 3, 8), not (3, 3, 3, 16)" in message
    message = refused(capsys, *arguments, "--config", exploding(case, attn_resolutions=()))
    assert "unexpected " in message
    assert not workdir.exists()


def test_a_refused_import_makes_no_run_and_leaves_the_folder_as_it_is(exploding, tmp_path, capsys):
    case = Golden("torch_checkpoint_ve")
    config, file = exploding(case), case.file(".pth")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/thesis.tex").write_text("precious")
    new = ["--config", config, "--workdir", tmp_path / "run"]
    old = ["--config", config, "--workdir", tmp_path / "thesis"]
    for arguments, message in (
        (["score_sde_pytorch", file, *old], "is not empty"),
        (["pytorch", file, *new], "Unknown checkpoint format 'pytorch'"),
        (["score_sde", file, *new], "not a whole Flax msgpack file"),
        (["edm", tmp_path / "absent.npz", "--raw", *new], "only the moving average"),
    ):
        assert message in refused(capsys, "import", *arguments)
    assert not (tmp_path / "run").exists()
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["thesis.tex"]


def test_a_folder_with_hidden_files_alone_takes_an_import(exploding, tmp_path, capsys):
    case, workdir = Golden("torch_checkpoint_ve"), tmp_path / "run"
    (workdir / ".ipynb_checkpoints").mkdir(parents=True)
    (workdir / ".DS_Store").touch()
    arguments = ["--config", exploding(case), "--workdir", workdir]
    error = refused(capsys, "import", "pytorch", case.file(".pth"), *arguments)
    assert "Unknown checkpoint format" in error  # what is looked at after the folder


def test_openais_weights_become_a_run(configure, tmp_path, capsys):
    case = Golden("adm_unet_scaleshift_updown_class")
    weights = {name: value.astype(np.float32) for name, value in case.state_dict.items()}
    np.savez(tmp_path / "weights.npz", **weights)
    config = configure(
        data_range=(-1.0, 1.0),
        labels=True,
        sde={"name": "discrete_vp", "num_scales": 1000},
        prediction={
            "name": "noise",
            "time_input": {"name": "index", "num_scales": 1000},
            "learned_variance": True,
        },
        network={
            "name": "openai_unet",
            "num_channels": 32,
            "num_res_blocks": 1,
            "channel_mult": (1, 2),
            "attention_resolutions": (8,),
            "num_head_channels": 16,
            "resblock_updown": True,
            "num_classes": 5,
            "outputs_per_channel": 2,
        },
        sampler={"name": "ancestral_sampling", "variance": "learned"},
    )
    order, file, workdir = "openai_new_attention_order", tmp_path / "weights.npz", tmp_path / "run"
    run("import", order, file, "--config", config, "--workdir", workdir)
    assert "828,998 parameters, the weights (averages or not" in capsys.readouterr().out
    model = runs.TrainedModel(workdir)
    known = model.experiment.network, model.experiment.shape
    found = {name: pretrained.load_params(name, file, *known).weights for name in ("openai", order)}
    jax.tree.map(np.testing.assert_array_equal, model.params(), found[order])
    differ = jax.tree.map(lambda a, b: bool((a != b).any()), *found.values())
    names = {path[0].key for path, it in jax.tree.leaves_with_path(differ) if it}
    assert names and all(name.startswith("AttnBlockpp") for name in names)
    wrong = f"--config.network.num_channels={64}"
    arguments = ["--config", config, "--workdir", str(tmp_path / "wrong"), wrong]
    assert main(["import", "openai", str(tmp_path / "weights.npz"), *arguments]) == 2
    assert "do not fit the configuration" in capsys.readouterr().err
    assert not (tmp_path / "wrong").exists()
