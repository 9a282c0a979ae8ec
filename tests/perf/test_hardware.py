"""Devices by name, and ceilings with a clock of their own."""

from types import SimpleNamespace

import jax
import pytest

from mtsccd_jax.perf import hardware
from mtsccd_jax.perf.hardware import PEAKS, measure_ceilings, memory_bytes, peak_of
from mtsccd_jax.perf.timing import Timing


def named(kind, platform="gpu"):
    return SimpleNamespace(device_kind=kind, platform=platform)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("NVIDIA H200", "H200 SXM"),
        ("NVIDIA H200 NVL", "H200 NVL"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB SXM"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB PCIe"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("TPU v4", "TPU v4"),
        ("TPU v5 lite", "TPU v5e"),
        ("TPU v5", "TPU v5p"),
        ("TPU v6 lite", "TPU v6e"),
    ],
)
def test_devices_are_known_by_what_they_call_themselves(kind, name):
    peak = peak_of(named(kind))
    assert peak is not None
    assert peak.name == name


@pytest.mark.parametrize(
    "device", [*map(named, ("NVIDIA L40", "NVIDIA H20", "TPU v3")), named("H200", "cpu"), jax.devices("cpu")[0]]
)
def test_a_cpu_or_a_device_that_is_not_in_the_table_has_no_peak(device):
    assert peak_of(device) is None


def test_the_table_is_plausible():
    for peak in PEAKS.values():
        assert peak.source
        assert 5e13 < peak.flops_per_s("bfloat16") < 5e15
        assert 1e11 < peak.memory_bytes_per_s < 1e13
        if peak.float32_flops_per_s is not None:
            assert peak.vector_flops_per_s <= peak.flops_per_s("float32") <= peak.bfloat16_flops_per_s


@pytest.mark.parametrize("turns", [1, 3])
def test_the_fastest_round_is_the_ceiling(monkeypatch, turns):
    asked = {}
    monkeypatch.setattr(hardware, "_ON_CPU", (64, 256, turns))

    def clocked(callables, *, warmup, rounds):
        for name, call in callables.items():
            asked[name] = jax.block_until_ready(call())
        return {"products": Timing((4.0, 2.0, 8.0)), "copies": Timing((0.5, 1.0, 3.0))}

    monkeypatch.setattr(hardware, "measure", clocked)
    found = measure_ceilings("bfloat16")
    assert found.flops_per_s == turns * 2 * 64**3 / 2.0
    assert found.bytes_per_s == turns * found.copy_bytes / 0.5
    assert [(product.shape, product.dtype) for product in asked["products"]] == [((64, 64), "bfloat16")] * turns
    assert 2 * asked["copies"].nbytes == found.copy_bytes == 2 * 4 * 256
    assert float(asked["copies"][0]) == pytest.approx(1.0001**turns)
    assert found.dtype == "bfloat16"


def test_a_cpu_says_nothing_of_its_memory():
    assert memory_bytes(jax.devices()[0]) == (None, None)
