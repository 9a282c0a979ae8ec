"""Where a number comes from: versions, device and revision, for every row."""

import subprocess
from importlib import metadata
from pathlib import Path

import jax

PACKAGES = (
    "mtsccd-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "tensorflow-datasets",
    "grain",
    "opencv-python-headless",
)


def versions() -> dict[str, str]:
    """The installed versions of what a result depends on."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            installed[package] = "not installed"
    return installed


def device() -> str:
    """The devices in words, as in "8 x cpu"."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind}"


def commit() -> str | None:
    """The revision of the source tree this package runs from, with "+" where files differ; None outside a checkout."""
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
