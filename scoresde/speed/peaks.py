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


# By a part of JAX's name of the device, the narrower names first: operations of float32 and of
# bfloat16, and bytes. On GPUs float32 is TF32, which convolutions and products of JAX take, and on
# TPUs it is bfloat16, by which they multiply.
_PEAKS = {
    "B200": (1.125e15, 2.25e15, 8.0e12),
    "H200": (494.7e12, 989.4e12, 4.8e12),
    "H100 PCIe": (378e12, 756e12, 2.0e12),
    "H100": (494.7e12, 989.4e12, 3.35e12),
    "A100": (156e12, 312e12, 2.0e12),
    "TPU v4": (275e12, 275e12, 1.228e12),
    "TPU v5 lite": (197e12, 197e12, 0.819e12),
    "TPU v5": (459e12, 459e12, 2.765e12),
    "TPU v6 lite": (918e12, 918e12, 1.64e12),
}


def peaks_of(device_kind: str, dtype: str) -> Peaks | None:
    """The peaks of a device, "float32" or "bfloat16"; None where they are not known here.

    Args:
        device_kind: JAX's name of it, as `device.device_kind`.
        dtype: in which networks compute.
    """
    for name, (float32, bfloat16, memory) in _PEAKS.items():
        if name in device_kind and dtype in ("float32", "bfloat16"):
            return Peaks(float32 if dtype == "float32" else bfloat16, memory)
    return None
