"""Hardware, versions, devices and revision behind a number, for every row and every benchmark."""

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

# Packages that results and speeds depend on.
PACKAGES: tuple[str, ...] = (
    "mtsccd-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "scipy",
    "scikit-learn",
    "tensorflow-datasets",
    "grain",
    "opencv-python-headless",
    "simplejpeg",
)
# Packages that benchmarks compare with.
PEERS = ("torch", "torchvision", "timm", "faiss-cpu")


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """Return the installed version of each package, None for one that is not installed."""
    return {package: _version(package) for package in packages}


@functools.cache
def _version(package: str) -> str | None:
    """Return the version of a package as this process found it first."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def device() -> str:
    """Return the devices in words, as in "8 x cpu". This starts JAX's devices."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind}"


def commit() -> str | None:
    """Return the git revision of this package, with "+" if files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        revision = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return revision.stdout.strip() or None


def environment() -> dict[str, Any]:
    """Return hardware, versions and revision, in JSON types. This starts JAX's devices."""
    first = jax.devices()[0]
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "platform": first.platform,
        "device": first.device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "versions": versions(PACKAGES + PEERS),
        "commit": commit(),
    }


def _cpu_name() -> str:
    """Return the name of the processor."""
    table = Path("/proc/cpuinfo")
    if table.is_file():
        for line in table.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    """Return the main memory in GiB, or None where the system does not report it."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
