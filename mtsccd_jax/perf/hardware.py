"""Limits of devices: nominal peaks from data sheets, and ceilings that are measured."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from mtsccd_jax.perf.timing import measure

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Peak:
    """Nominal dense peaks of one device, without sparsity, as its maker states them.

    Attributes:
        bfloat16_flops_per_s: Products of bfloat16 with float32 sums.
        float32_flops_per_s: Products of float32 at JAX's default precision, TF32 on NVIDIA's tensor cores; None where
            the maker states none (a TPU computes one as several bfloat16 products).
        vector_flops_per_s: float32 outside matrix units; None where the maker states none.
    """

    name: str
    bfloat16_flops_per_s: float
    float32_flops_per_s: float | None
    vector_flops_per_s: float | None
    memory_bytes_per_s: float
    source: str

    def flops_per_s(self, dtype: str) -> float | None:
        """Return the peak of products of a type ("float32" or "bfloat16"); None where unknown."""
        return self.bfloat16_flops_per_s if dtype == "bfloat16" else self.float32_flops_per_s


_T = 1e12

# Keys are parts of `device_kind`; the longest that matches counts: "H100 PCIe" before "H100".
PEAKS: dict[str, Peak] = {
    "H200": Peak("H200 SXM", 989 * _T, 494 * _T, 67 * _T, 4.8 * _T, "NVIDIA H200 data sheet"),
    "H200 NVL": Peak("H200 NVL", 835 * _T, 417 * _T, 60 * _T, 4.8 * _T, "NVIDIA H200 data sheet"),
    "GH200": Peak("GH200", 990 * _T, 494 * _T, 67 * _T, 4.0 * _T, "NVIDIA GH200 data sheet, 96 GB HBM3"),
    "H100 PCIe": Peak("H100 PCIe", 756 * _T, 378 * _T, 51 * _T, 2.0 * _T, "NVIDIA H100 data sheet"),
    "H100 NVL": Peak("H100 NVL", 835 * _T, 417 * _T, 60 * _T, 3.9 * _T, "NVIDIA H100 data sheet"),
    "H100": Peak("H100 SXM", 989 * _T, 494 * _T, 67 * _T, 3.35 * _T, "NVIDIA H100 data sheet"),
    "B200": Peak("B200 SXM", 2250 * _T, 1100 * _T, 75 * _T, 7.7 * _T, "NVIDIA HGX B200 data sheet"),
    "A100-SXM4-80GB": Peak("A100 80GB SXM", 312 * _T, 156 * _T, 19.5 * _T, 2.039 * _T, "NVIDIA A100 data sheet"),
    "A100 80GB PCIe": Peak("A100 80GB PCIe", 312 * _T, 156 * _T, 19.5 * _T, 1.935 * _T, "NVIDIA A100 data sheet"),
    "A100": Peak("A100 40GB", 312 * _T, 156 * _T, 19.5 * _T, 1.555 * _T, "NVIDIA A100 data sheet"),
    "A10G": Peak("A10G", 70 * _T, 35 * _T, 35 * _T, 0.6 * _T, "NVIDIA A10G data sheet"),
    "L40S": Peak("L40S", 362 * _T, 183 * _T, 91.6 * _T, 0.864 * _T, "NVIDIA L40S data sheet"),
    "L4": Peak("L4", 121 * _T, 60 * _T, 30.3 * _T, 0.3 * _T, "NVIDIA L4 data sheet"),
    "RTX 4090": Peak("RTX 4090", 165 * _T, 82.6 * _T, 82.6 * _T, 1.008 * _T, "NVIDIA Ada architecture white paper"),
    "RTX 3090": Peak("RTX 3090", 71 * _T, 35.6 * _T, 35.6 * _T, 0.936 * _T, "NVIDIA Ampere GA102 white paper"),
    "TPU v4": Peak("TPU v4", 275 * _T, None, None, 1.2 * _T, "Google Cloud, TPU v4"),
    "TPU v5 lite": Peak("TPU v5e", 197 * _T, None, None, 0.819 * _T, "Google Cloud, TPU v5e"),
    "TPU v5e": Peak("TPU v5e", 197 * _T, None, None, 0.819 * _T, "Google Cloud, TPU v5e"),
    "TPU v5p": Peak("TPU v5p", 459 * _T, None, None, 2.765 * _T, "Google Cloud, TPU v5p"),
    "TPU v5": Peak("TPU v5p", 459 * _T, None, None, 2.765 * _T, "Google Cloud, TPU v5p"),
    "TPU v6 lite": Peak("TPU v6e", 918 * _T, None, None, 1.64 * _T, "Google Cloud, TPU v6e"),
    "TPU v6e": Peak("TPU v6e", 918 * _T, None, None, 1.64 * _T, "Google Cloud, TPU v6e"),
}


def peak_of(device: jax.Device) -> Peak | None:
    """Return the nominal peaks of a device; None for a kind that the table lacks, such as any CPU."""
    return _peak_of_kind(device.device_kind) if device.platform != "cpu" else None


def _peak_of_kind(kind: str) -> Peak | None:
    """Return the entry whose key is a part of the kind in whole words: an L40 is no L4."""
    words = f" {kind} "
    exact = [key for key in PEAKS if f" {key} " in words]
    if not exact:  # as in NVIDIA A100-SXM4-40GB
        exact = [key for key in PEAKS if f" {key}-" in words]
    return PEAKS[max(exact, key=len)] if exact else None


# Rows of the product, numbers that are copied, and repetitions per round. Caches do not hold these sizes. On an
# accelerator, where one repetition takes a millisecond, their number hides the time of a call.
_ON_CPU, _ON_ACCELERATOR = (1536, 1 << 24, 1), (8192, 1 << 28, 8)


@dataclass(frozen=True)
class Ceilings:
    """Rates that a device reached in the best of some rounds: lower bounds of its limits.

    Attributes:
        flops_per_s: Rate of a square product of that type at JAX's default precision.
        bytes_per_s: Rate of a scaled copy, read and write counted.
    """

    dtype: str
    flops_per_s: float
    bytes_per_s: float
    product_size: int
    copy_bytes: int


def measure_ceilings(dtype: Precision, device: jax.Device | None = None, *, rounds: int = 9) -> Ceilings:
    """Measure the rates of a matrix product and of a copy on a device (None for the first); both are short on a CPU.

    The two take turns. The fastest round counts, since only other work makes a round slower than the device is.
    """
    device = device or jax.local_devices()[0]
    size, copied, turns = _ON_CPU if device.platform == "cpu" else _ON_ACCELERATOR
    with jax.default_device(device):
        key = jax.random.PRNGKey(0)
        a, b = (jax.random.normal(part, (size, size), jnp.float32).astype(dtype) for part in jax.random.split(key))
        long = jnp.ones((copied,), jnp.float32)
        # Different factors: a compiler computes equal products only once.
        many = [jnp.roll(b, turn, axis=0) for turn in range(turns)]
        products = jax.jit(lambda a, many: [jnp.matmul(a, b, preferred_element_type=a.dtype) for b in many])
        # In place of the argument: memory that is new to the process takes longer than the copy.
        scale = jax.jit(lambda x: x * 1.0001, donate_argnums=0)
        copy_bytes = 2 * long.nbytes

        def copies() -> jax.Array:
            nonlocal long
            for _ in range(turns):
                long = scale(long)
            return long

        seconds = measure({"products": lambda: products(a, many), "copies": copies}, warmup=2, rounds=rounds)
    return Ceilings(
        str(jnp.dtype(dtype)),
        2 * size**3 * turns / min(seconds["products"].samples_s),
        copy_bytes * turns / min(seconds["copies"].samples_s),
        size,
        copy_bytes,
    )


def memory_bytes(device: jax.Device) -> tuple[int | None, int | None]:
    """Return (bytes that the device may use, most bytes in use until now); None where it does not say."""
    stats = device.memory_stats() or {}
    return stats.get("bytes_limit"), stats.get("peak_bytes_in_use")
