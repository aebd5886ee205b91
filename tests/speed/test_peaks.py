"""The peaks of devices, by JAX's names of them."""

import pytest

from scoresde.speed.peaks import peaks_of


@pytest.mark.parametrize(
    "kind, float32, bfloat16",
    [
        ("NVIDIA H100 80GB HBM3", 494.7e12, 989.4e12),
        ("NVIDIA H100 PCIe", 378e12, 756e12),  # not the wider name's
        ("NVIDIA A100-SXM4-40GB", 156e12, 312e12),
        ("TPU v5 lite", 197e12, 197e12),
        ("TPU v5", 459e12, 459e12),
    ],
)
def test_the_narrower_name_goes_first(kind, float32, bfloat16):
    assert peaks_of(kind, "float32").flops == float32
    assert peaks_of(kind, "bfloat16").flops == bfloat16


def test_what_is_not_known_has_none():
    assert peaks_of("cpu", "float32") is None
    assert peaks_of("NVIDIA H100 PCIe", "float64") is None
