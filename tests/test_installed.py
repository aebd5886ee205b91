"""The package as it is installed of a wheel, away from the repository."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

pytest.importorskip("setuptools", minversion="77")
pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what a wheel holds, and nothing of the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(
        ROOT,
        folder / "source",
        ignore=lambda _, names: {
            n for n in names if n[0] == "." or n in ("build", "runs", "tests")
        },
    )
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", folder, folder / "source"], check=True, text=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    shutil.rmtree(folder / "source")
    return folder / "site"


def run(installed, tmp_path, *arguments):
    """What the installed package prints, run in another folder."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_published_config_is_found_by_its_name_and_is_the_installed_one(installed, tmp_path):
    files = {path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.py")}
    assert all((installed / "scoresde" / file).exists() for file in files)
    assert (installed / "scoresde/py.typed").exists()
    assert not list(installed.rglob("bench"))
    out = run(installed, tmp_path, "scoresde", "config", "vp/digits", "--config.seed=4")
    assert '"seed": 4,' in out and '"name": "dpm_solver_pp_2m",' in out
    code = "import scoresde.configs, scoresde; print(scoresde.configs.__file__, scoresde.__file__)"
    (tmp_path / "where.py").write_text(code)
    assert run(installed, tmp_path, "where").count(str(installed)) == 2


def test_an_experiment_runs_with_a_config_by_name_and_a_metric_of_ones_own(installed, tmp_path):
    (tmp_path / "mine.py").write_text(
        "def Gap():\n    return lambda key, x, y: abs(x - y).mean()\n"
    )
    run(
        installed,
        tmp_path,
        *("scoresde.experiments.ablate_samplers", "--config", "mixture", "--workdir", "out"),
        *("--config.num_samples=64", "--config.batch_size=64", "--config.metrics=('mine:Gap',)"),
        "--config.sweep=({'name':'ddim','steps':2},)",
    )
    assert "mine:Gap" in (tmp_path / "out" / "results.csv").read_text()
