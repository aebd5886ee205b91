"""What devices can do at most, by their vendors' data sheets (dense, without sparsity)."""

from typing import NamedTuple


class Peaks(NamedTuple):
    """Of one device.

    Attributes:
        flops: floating-point operations a second, on the matrix units of a type.
        bytes: of memory a second.
    """

    flops: float
    bytes: float


# float32 is TF32, which convolutions and products of JAX and of this benchmark's PyTorch take.
_FLOPS = {
    "H100": {"float32": 494.7e12, "bfloat16": 989.4e12},
    "H200": {"float32": 494.7e12, "bfloat16": 989.4e12},
    "A100": {"float32": 156e12, "bfloat16": 312e12},
}
_BYTES = {"H100": 3.35e12, "H200": 4.8e12, "A100": 2.0e12}


def peaks_of(device_kind: str, dtype: str) -> Peaks | None:
    """The peaks of a device by JAX's name of it; None where they are not known here."""
    for name, flops in _FLOPS.items():
        if name in device_kind:
            return Peaks(flops[dtype], _BYTES[name])
    return None
