"""A network's stages, against the published trace of NCSN++ (facts of the CIFAR-10 network)."""

from scoresde import networks

BLOCK = {  # parameters of a residual block by (input, output) channels
    (128, 128): 361_344,
    (128, 256): 1_050_368,
    (256, 256): 1_312_512,
    (512, 256): 2_034_176,
    (384, 256): 1_706_240,
    (384, 128): 706_048,
    (256, 128): 541_952,
}
DOWN = {128: 377_856, 256: 1_378_304}
UP = 1_378_304
ATTENTION = 263_680
PYRAMID = (3_584, 295_168, 590_080)


def test_stages_of_the_cifar_network_are_the_published_ones():
    """NCSN++ with 4 blocks a level: every block, attention and pyramid in its stage."""
    stages = networks.stages(networks.get("ncsnpp"), (32, 32, 3))
    expected = [
        ("embedding", 3, (512,), 128 + 131_584 + 262_656),
        ("stem", 1, (32, 32, 128), 3_584),
        ("down", 4, (32, 32, 128), 4 * BLOCK[128, 128]),
        (
            "down",
            10,
            (16, 16, 256),
            DOWN[128] + PYRAMID[0] + BLOCK[128, 256] + 3 * BLOCK[256, 256] + 4 * ATTENTION,
        ),
        ("down", 6, (8, 8, 256), DOWN[256] + PYRAMID[1] + 4 * BLOCK[256, 256]),
        (
            "middle",
            14,
            (4, 4, 256),
            DOWN[256] + PYRAMID[2] + 6 * BLOCK[256, 256] + ATTENTION + 5 * BLOCK[512, 256],
        ),
        ("up", 6, (8, 8, 256), UP + 5 * BLOCK[512, 256]),
        (
            "up",
            7,
            (16, 16, 256),
            UP + 4 * BLOCK[512, 256] + BLOCK[384, 256] + ATTENTION,
        ),
        ("up", 7, (32, 32, 256), UP + BLOCK[384, 128] + 4 * BLOCK[256, 128] + 256),
        ("output", 1, (32, 32, 3), 3_459),
    ]
    assert [tuple(stage) for stage in stages] == expected


def test_every_parameter_of_adm_is_in_one_stage():
    """The published network of ImageNet-64."""
    stages = networks.stages(networks.get("adm", label_dim=1000), (64, 64, 3))
    assert sum(stage.parameters for stage in stages) == 295_899_267
    assert stages[-1].name == "output" and stages[-1].shape == (64, 64, 3)
