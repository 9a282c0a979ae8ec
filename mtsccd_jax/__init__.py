"""mtsccd_jax: high-throughput land-use scene classification and change detection in JAX and Flax.

Importing this package touches no device and reads no file; its public names are loaded on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    import mtsccd_jax.ops as ops
    from mtsccd_jax.models import create_model, list_models

__all__ = ["__version__", "create_model", "list_models", "ops"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import mtsccd_jax` does not import JAX."""
    if name == "ops":
        return importlib.import_module("mtsccd_jax.ops")
    if name in ("create_model", "list_models"):
        return getattr(importlib.import_module("mtsccd_jax.models"), name)
    raise AttributeError(f"module 'mtsccd_jax' has no attribute {name!r}")
