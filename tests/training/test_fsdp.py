"""A state that is split over the devices which share it; two processes: tests/cli."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from scoresde import training
from scoresde.registry import UsageError

from .test_processes import finish, start

FOUR = AbstractMesh((2, 4), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)


def spec_of(shape, smallest=1):
    params = {"kernel": jax.ShapeDtypeStruct(shape, jnp.float32)}
    rules = training.fsdp_rules(FOUR, smallest)
    return training.param_shardings(FOUR, params, rules)["kernel"].spec


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((3, 3, 64, 128), (None, None, None, "fsdp")),
        ((3, 3, 128, 64), (None, None, "fsdp")),
        ((64, 64), (None, "fsdp")),  # the outputs
        ((64, 130), ("fsdp",)),  # four do not divide the larger
        ((6, 5), ()),
        ((), ()),
    ],
)
def test_a_parameter_is_split_along_its_largest_axis_that_the_devices_divide(shape, spec):
    assert spec_of(shape) == PartitionSpec(*spec)


def test_small_parameters_and_meshes_without_the_axis_stay_whole():
    assert spec_of((16, 16), smallest=256) == PartitionSpec(None, "fsdp")
    assert spec_of((16, 16), smallest=257) == PartitionSpec()
    assert spec_of((256, 255), smallest=2**16) == spec_of((4,), smallest=5) == PartitionSpec()
    assert training.fsdp_rules(training.make_mesh()) == ()


def test_a_batch_is_split_over_both_axes():
    assert training.batch_sharding(FOUR, axis=1).spec == PartitionSpec(None, ("data", "fsdp"))
    training.check_divisible(16, FOUR)
    with pytest.raises(UsageError, match="A batch of 12 cannot be split evenly over 8 devices"):
        training.check_divisible(12, FOUR)


def test_devices_that_share_a_state_divide_their_number():
    with pytest.raises(UsageError, match="must divide the 1 there are: 1, or -1 for all, not 2"):
        training.make_mesh(jax.devices()[:1], fsdp=2)
    with pytest.raises(UsageError, match="not 0"):
        training.make_mesh(fsdp=0)
    assert training.make_mesh(jax.devices()[:1], fsdp=-1).axis_names == ("data",)


@pytest.mark.slow
def test_each_of_eight_devices_holds_its_part_and_gathers_a_parameter_where_it_is_used():
    """By the compiled step: what it is given, what it holds besides, and what it communicates."""
    code = """
import re
from jax import numpy as jnp, ShapeDtypeStruct as Shape
from scoresde import training

LAYERS, WIDTH = 4, 64

def init(key):
    return {str(i): jax.random.normal(key, (WIDTH, WIDTH)) for i in range(LAYERS)}

def loss_fn(params, key, batch):
    x = batch["x"]
    for i in range(LAYERS):
        x = x + jnp.tanh(x @ params[str(i)])
    return jnp.mean(x**2), {}

held, gathered, optimizer, averages = {}, {}, toy.make_optimizer(), toy.AVERAGES
for fsdp in (1, 2, 8):
    mesh = training.make_mesh(fsdp=fsdp)
    assert dict(mesh.shape) == ({"data": 8} if fsdp == 1 else {"data": 8 // fsdp, "fsdp": fsdp})
    rules = training.fsdp_rules(mesh, WIDTH * WIDTH)
    key = jax.random.key(0)
    create = lambda: training.create_state(key, init(key), optimizer, averages)
    state = training.created_on(mesh, create, rules)
    for tree in (state.params, state.averages["ema"], state.opt_state[1][0].mu):
        shapes = {shard.data.shape for shard in tree["0"].addressable_shards}
        assert shapes == {(WIDTH, WIDTH // fsdp)}
    batch = {"x": Shape((1, 16, WIDTH), jnp.float32, sharding=training.batch_sharding(mesh, 1))}
    step = training.make_train_step(loss_fn, optimizer, mesh, averages=averages, rules=rules)
    compiled = step.lower(state, batch).compile()
    memory = compiled.memory_analysis()
    held[fsdp] = memory.argument_size_in_bytes, memory.temp_size_in_bytes
    shapes = r"f32\\[([0-9,]*)\\][^=]* all-gather(?:-start)?\\("
    gathered[fsdp] = re.findall(shapes, compiled.as_text())
whole = 16 * LAYERS * WIDTH * WIDTH  # parameters, average and two moments in float32
for fsdp, (arguments, temporary) in held.items():
    assert whole / fsdp <= arguments < whole / fsdp + 4096, held
assert sum(held[8]) < sum(held[2]) < sum(held[1]), held
assert gathered[1] == [] and set(gathered[8]) == {f"{WIDTH},{WIDTH}"}, gathered
assert len(gathered[8]) >= LAYERS  # each by itself, not all at once
"""
    finish(start(code, devices=8))


@pytest.mark.slow
def test_parameters_and_gradients_alone_are_moved_between_devices():
    """Left to itself, XLA splits activations as the weights are, and gathers these as well."""
    code = """
import re
from jax import numpy as jnp, ShapeDtypeStruct as Shape
from scoresde import networks, training

network = networks.get("ncsnpp", nf=16, ch_mult=(1,), num_res_blocks=1, attn_resolutions=())

def loss_fn(params, key, batch):
    x = batch["x"]
    return jnp.mean(network.apply(params, x, jnp.ones(len(x))) ** 2), {}

mesh, optimizer = training.make_mesh(fsdp=8), toy.make_optimizer()
rules, key = training.fsdp_rules(mesh, 512), jax.random.key(0)
create = lambda: training.create_state(
    key, network.init(key, (8, 8, 1)), optimizer, toy.AVERAGES
)
state = training.created_on(mesh, create, rules)
batch = {"x": Shape((1, 48, 8, 8, 1), jnp.float32, sharding=training.batch_sharding(mesh, 1))}
step = training.make_train_step(loss_fn, optimizer, mesh, averages=toy.AVERAGES, rules=rules)
program = step.lower(state, batch).compile().as_text()
kinds = "all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute"
found = re.findall(rf"\\[([0-9,]*)\\][^=]*? ({kinds})(?:-start)?\\(", program)
moved = {tuple(sorted(int(size) for size in shape.split(",") if size)) for shape, _ in found}
shapes = {tuple(sorted(leaf.shape)) for leaf in jax.tree.leaves(state.params)}  # or transposed
assert moved <= {(), *shapes}, moved - shapes
assert any(kind == "all-gather" for _, kind in found)
"""
    finish(start(code, devices=8))
