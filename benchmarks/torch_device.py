"""PyTorch on the device that JAX uses, for the benchmarks that compare with it."""

import os
import sys
from typing import Any

import jax


def share_the_device() -> Any:
    """Set up JAX's first device for PyTorch and return it; call this before anything runs on it.

    On a GPU both frameworks share its memory, and float32 products of PyTorch may use TF32, as JAX's do by default.
    Exits where PyTorch is missing or cannot use the device.
    """
    try:
        import torch
    except ImportError:
        sys.exit("the peer is missing: pip install torch torchvision timm")
    # By default JAX takes three quarters of a GPU at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = torch_device()
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    return device


def torch_device() -> Any:
    """Return JAX's first device as PyTorch's; exit where this PyTorch cannot use it."""
    import torch

    platform = jax.devices()[0].platform
    if platform not in ("cpu", "gpu"):
        sys.exit(f"there is no PyTorch to compare with on {platform}: run on a CPU or a GPU (JAX_PLATFORMS=cpu)")
    if platform == "gpu" and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} sees no GPU where JAX does: install one with CUDA, or JAX_PLATFORMS=cpu")
    return torch.device("cuda" if platform == "gpu" else "cpu")


def wait_for_torch() -> None:
    """Wait until PyTorch has done all work."""
    import torch

    if torch_device().type == "cuda":
        torch.cuda.synchronize()
