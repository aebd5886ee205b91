"""The pictures of docs/gallery.md, of runs that its commands have trained.

Example:
  python -m experiments.gallery --classes runs/digits_classes --super_resolution runs/emoji_sr \\
      --inpainting runs/emoji_inpainting --digits runs/digits_classes --out docs/gallery

Each run that is given has its picture, PNG of some tens of kilobytes; the seed and the settings are
fixed, so that the same runs give the same pictures:

  classes.png           a class a column, at cfg scales 1, 2 and 4: two rows each
  super_resolution.png  rows: what is told (16x16), three samples, the truth
  inpainting.png        rows: what is told (unknown pixels gray), three samples, the truth
  sdedit.png            rows: inputs, and samples at strengths 0.3, 0.5 and 0.7
  interpolation.png     a pair of images a row, and what is between their latents
"""

import argparse
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import data, guidance, runs, samplers
from scoresde.data.pictures import save_picture

COLUMNS = 12
SCALES = (1.0, 2.0, 4.0)
STRENGTHS = (0.3, 0.5, 0.7)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws the pictures of the runs that are given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in PICTURES:
        parser.add_argument(f"--{name}", metavar="DIR", help="work directory of the run")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/gallery"))
    given = parser.parse_args(arguments)
    for name, pictures in PICTURES.items():
        if (workdir := getattr(given, name)) is not None:
            run = runs.Run(workdir)
            for picture, rows in pictures(run).items():
                path = given.out / f"{picture}.png"
                save_picture(path, tiled(rows), bins=run.experiment.codec.bins)
                print(path)


def tiled(rows: Sequence[np.ndarray], least: int = 32) -> np.ndarray:
    """One picture of rows of images [n, height, width, channels], small ones with larger pixels."""
    images = np.stack([np.asarray(row) for row in rows])
    factor = max(1, least // images.shape[2])
    images = images.repeat(factor, axis=2).repeat(factor, axis=3)
    images = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
    count, columns, height, width, channels = images.shape
    return images.swapaxes(1, 2).reshape(count * height, columns * width, channels)


def classes(run: runs.Run) -> dict[str, list[np.ndarray]]:
    """Digits of each class at several scales of classifier-free guidance."""
    denoiser, rows = run.denoiser(t_min=run.experiment.sampling.t_min), []
    for scale in SCALES:
        guided = guidance.get("cfg", denoiser, scale=scale)
        drawn = runs.generate(
            jax.random.key(0),
            run.experiment,
            guided,
            20,
            mesh=run.mesh,
            condition={"label": np.arange(20) % 10},
        )
        rows += [drawn.images[:10], drawn.images[10:]]
    return {"classes": rows}


def conditional(run: runs.Run) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """(what is told, three sets of samples, the truth), of test images."""
    experiment = run.experiment
    truth = experiment.source.splits["test"].images[:COLUMNS]
    condition = runs.condition_in_turn(experiment, COLUMNS)
    sets = [
        run.generate(COLUMNS, seed=seed, condition=condition, batch_size=COLUMNS).images
        for seed in range(3)
    ]
    return condition, sets, truth


def super_resolution(run: runs.Run) -> dict[str, list[np.ndarray]]:
    """Samples of the test images' small versions, without noise on those."""
    experiment = run.experiment
    truth = experiment.source.splits["test"].images[:COLUMNS]
    keys = jax.random.split(jax.random.key(0), COLUMNS)
    level = None if experiment.degradation.augmentation is None else 0.0
    made = experiment.degraded(keys, truth, level)
    sets = [
        run.generate(COLUMNS, seed=seed, condition=made, batch_size=COLUMNS).images
        for seed in range(3)
    ]
    told = made[experiment.degradation.told_as]
    small = jnp.repeat(jnp.repeat(told, 2, axis=1), 2, axis=2)
    return {"super_resolution": [experiment.codec.decode(small), *sets, truth]}


def inpainting(run: runs.Run) -> dict[str, list[np.ndarray]]:
    """Samples of test images of which random boxes and strokes are not known."""
    condition, sets, truth = conditional(run)
    known = np.asarray(condition["mask"]) > 0.5
    seen = np.where(known, truth, run.experiment.codec.bins // 2).astype(np.uint8)
    return {"inpainting": [seen, *(np.where(known, truth, images) for images in sets), truth]}


def digits(run: runs.Run) -> dict[str, list[np.ndarray]]:
    """SDEdit and latent interpolation of test images, each told its class if the network is."""
    experiment, codec = run.experiment, run.experiment.codec
    split = experiment.source.splits["test"]
    images = split.images[:COLUMNS]
    condition = {"label": split.labels[:COLUMNS]} if "label" in experiment.condition else {}
    x = data.scale(data.to_unit(images, codec.bins), codec.level_range)
    denoiser, sampling = run.denoiser(t_min=experiment.sampling.t_min), experiment.sampling
    edited = [images]
    for strength in STRENGTHS:
        drawn = samplers.sdedit(
            jax.random.key(0),
            sampling.sampler,
            sampling.clipped(denoiser),
            x,
            strength=strength,
            condition=condition or None,
            steps=sampling.steps,
            grid=sampling.grid,
        )
        edited.append(codec.decode(drawn.x))
    told = {name: value[:4] for name, value in condition.items()}  # of the first of each pair
    paths = samplers.interpolate(denoiser, x[:4], x[4:8], COLUMNS, condition=told or None)
    rows = [codec.decode(path) for path in jnp.moveaxis(paths, 1, 0)]
    return {"sdedit": edited, "interpolation": rows}


PICTURES = {
    "classes": classes,
    "super_resolution": super_resolution,
    "inpainting": inpainting,
    "digits": digits,
}
"""By the option that names the run: what draws its pictures, run -> rows of images by name."""

if __name__ == "__main__":
    main()
