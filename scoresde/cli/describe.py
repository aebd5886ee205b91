"""Describe an experiment's network: parameters, shapes, and what it costs.

Example:
  scoresde describe --config ve/cifar10_ncsnpp_continuous
  scoresde describe --config vp/digits --config.network.nf=64

Needs neither data nor a device: shapes and costs are derived from the traced program, which is not
compiled. Set --config.training.batch_size to the images of one device to see what they need there.
"""

import argparse
import math

from scoresde.cli.arguments import add_config

NOTE = """\
Estimated from the traced program, which was neither compiled nor run. GFLOP are those of
convolutions and matrix products, two a multiplication and addition. Memory is what would be alive
at once, besides the parameters, if nothing were fused; compiled programs come within a third of it.
A likelihood takes as many evaluations as its NFE, hundreds at a tolerance of 1e-5."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_config(parser)


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Describes; see the module's docstring."""
    import jax

    from scoresde.experiment import build, load_config

    experiment = build(load_config(arguments.config, overrides))
    params = experiment.abstract_params
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    shape = "x".join(map(str, experiment.shape))
    out = f"{experiment.network.num_classes} logits" if experiment.trains_classifier else shape
    print(f"{count:,} parameters; images {shape} in, {out} out.\n")
    _print_stages(experiment)
    _print_costs(experiment, params)
    print(f"\n{NOTE}")


def _print_stages(experiment) -> None:
    from scoresde import networks

    network = experiment.network
    if not isinstance(network, networks.Network):
        return  # of one's own: it may have no parts that are known here
    print(f"{'stage':<12}{'modules':>8}  {'widest output':<16}{'parameters':>14}")
    for stage in networks.stages(network, experiment.shape):
        shape = "x".join(map(str, stage.shape))
        print(f"{stage.name:<12}{stage.modules:>8}  {shape:<16}{stage.parameters:>14,}")
    print()


def _print_costs(experiment, params) -> None:
    import jax
    import jax.numpy as jnp

    from scoresde import networks
    from scoresde.jobs import human_size
    from scoresde.networks import cost

    settings = experiment.training
    batch = max(1, settings.batch_size // settings.accumulate)
    network, conditional = experiment.network, "label" in experiment.condition

    def shapes(batch):
        x = jax.ShapeDtypeStruct((batch, *experiment.shape), jnp.float32)
        t = jax.ShapeDtypeStruct((batch,), jnp.float32)
        known = {"label": jax.ShapeDtypeStruct((batch,), jnp.int32)}
        known = known if conditional else {}
        if isinstance(network, networks.Network):
            for name, shape in network.condition_shapes(experiment.shape).items():
                known[name] = jax.ShapeDtypeStruct((batch, *shape), jnp.float32)
        return x, t, known or None

    def gradient(params, key, x, t, condition):
        def loss(params):
            return jnp.sum(network(params, x, t, condition, train=True, rng=key) ** 2)

        return jax.grad(loss)(params)

    def drift_and_probe(params, x, t, condition, probe):
        def velocity(x):
            return experiment.denoiser(params).velocity(x, t, condition)

        return jax.jvp(velocity, (x,), (probe,))

    def guiding(params, x, t, condition, probe):
        return jax.grad(lambda x: jnp.sum(network(params, x, t)[:, 0]))(x)

    x, t, condition = shapes(1)
    key = jax.eval_shape(lambda: jax.random.key(0))
    forward = cost.estimate(network, params, x, t, condition)
    training = cost.estimate(gradient, params, key, *shapes(batch))
    use, words = drift_and_probe, "likelihood evaluation, one probe"
    if experiment.trains_classifier:
        use, words = guiding, "gradient that guides"
    used = cost.estimate(use, params, x, t, condition, x)

    weights = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
    activations = training.peak_bytes - weights  # the gradients are alive at the end
    optimizer = jax.eval_shape(experiment.optimizer.init, params)
    state = (1 + len(experiment.averages)) * weights + sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(optimizer)
    )
    print(f"{'one image':<32}{'GFLOP':>10}{'memory':>12}")
    for name, flops, size in (
        ("forward", forward.flops, forward.peak_bytes),
        ("training step", training.flops / batch, activations / batch),
        (words, used.flops, used.peak_bytes),
    ):
        print(f"{name:<32}{flops / 1e9:>10.4g}{human_size(size):>12}")
    print(f"\n{f'training, {batch} images at once':<42}{'memory':>12}")
    for name, size in (
        ("parameters, averages, the optimizer", state),
        ("gradients", weights),
        ("activations", activations),
        ("together", state + weights + activations),
    ):
        print(f"{name:<42}{human_size(size):>12}")
