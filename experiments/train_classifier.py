"""Train the small classifiers of the bundled images, whose features measure samples of them.

Example:
  python experiments/train_classifier.py --data digits --out runs/digits_classifier.npz
  python experiments/train_classifier.py --data emoji32 --out runs/emoji32_classifier.npz

Writes the weights (float16, which are then the weights), and prints the accuracy on the test
images. The ones in scoresde/metrics/features/bundled/ were made so, with the defaults.
"""

import argparse
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from scoresde import configure, data, files
from scoresde.networks.classifier import ImageClassifier
from scoresde.registry import UsageError


class Recipe(NamedTuple):
    """How a classifier is trained.

    Attributes:
        widths: channels of its stages; of the last, the features.
        shift: pixels by which training images are moved at random.
        mirror: whether they are mirrored at random.
        steps: number of updates.
    """

    widths: tuple[int, ...]
    shift: int
    mirror: bool
    steps: int


RECIPES = {
    "digits": Recipe((32, 64, 64), shift=1, mirror=False, steps=1500),
    "emoji32": Recipe((32, 48, 64, 64), shift=3, mirror=True, steps=1200),
}
BATCH = 128


def augment(key: jax.Array, x: jax.Array, recipe: Recipe) -> jax.Array:
    """Images moved by up to `shift` pixels, and mirrored, each in its own way."""
    move_key, mirror_key = jax.random.split(key)
    n, s = len(x), recipe.shift
    offsets = jax.random.randint(move_key, (n, 2), 0, 2 * s + 1)
    padded = jnp.pad(x, ((0, 0), (s, s), (s, s), (0, 0)), mode="edge")
    moved = jax.vmap(
        lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), x.shape[1:])
    )(padded, offsets)
    flips = jax.random.bernoulli(mirror_key, 0.5, (n, 1, 1, 1)) & recipe.mirror
    return jnp.where(flips, moved[:, :, ::-1], moved)


def train(source: data.Source, recipe: Recipe, seed: int) -> Any:
    """The parameters, with float16's digits."""
    split, classes = source.splits["train"], len(source.label_names)
    x = 2 * data.to_unit(split.images, source.bins) - 1
    y = jnp.asarray(split.labels)
    network = ImageClassifier(recipe.widths, classes, dropout=0.3)
    init_key, key = jax.random.split(jax.random.key(seed))
    params = network.init(init_key, x[:1])["params"]
    schedule = optax.warmup_cosine_decay_schedule(0.0, 3e-3, 100, recipe.steps)
    optimizer = optax.adamw(schedule, weight_decay=1e-2)

    @jax.jit
    def update(params, state, key):
        rows_key, augment_key, dropout_key = jax.random.split(key, 3)
        rows = jax.random.randint(rows_key, (BATCH,), 0, len(x))
        images = augment(augment_key, x[rows], recipe)

        def loss(params):
            _, logits = network.apply(
                {"params": params}, images, train=True, rngs={"dropout": dropout_key}
            )
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()

        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    state = optimizer.init(params)
    for step in range(recipe.steps):
        params, state, loss = update(params, state, jax.random.fold_in(key, step))
        if (step + 1) % 250 == 0:
            print(f"step {step + 1}: loss {loss:.4f}", flush=True)
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), params)


def accuracy(source: data.Source, split: str, recipe: Recipe, params: Any) -> float:
    """The share of the images of a split whose class it finds."""
    images = 2 * data.to_unit(source.splits[split].images, source.bins) - 1
    network = ImageClassifier(recipe.widths, len(source.label_names))
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    _, logits = network.apply({"params": params}, images)
    return float(np.mean(np.argmax(logits, axis=1) == source.splits[split].labels))


def main() -> None:
    """Trains one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=sorted(RECIPES), required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.out.exists():
        raise UsageError(f"{arguments.out} is there already: give another --out.")
    configure()
    source, recipe = data.get(arguments.data), RECIPES[arguments.data]
    params = train(source, recipe, arguments.seed)
    leaves = jax.tree.leaves_with_path(params)
    arrays = {"/".join(part.key for part in path): leaf for path, leaf in leaves}
    files.write_arrays(
        arguments.out,
        **arrays,
        widths=np.array(recipe.widths),
        image_shape=np.array(source.image_shape),
        label_names=np.array(source.label_names),
    )
    for split in ("train", "test"):
        print(f"accuracy on the {split} images: {accuracy(source, split, recipe, params):.4f}")
    print(arguments.out)


if __name__ == "__main__":
    main()
