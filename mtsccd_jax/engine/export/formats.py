"""The formats of `export`, and how each is written."""

from collections.abc import Callable
from typing import Any

from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.engine.export.onnx_model import write_onnx
from mtsccd_jax.engine.export.stablehlo import write_stablehlo
from mtsccd_jax.engine.export.weights import write_safetensors
from mtsccd_jax.files import AnyPath

# Each writes a file and returns what else there is to tell of it.
WRITERS: dict[str, Callable[[Trained, AnyPath], dict[str, Any] | None]] = {
    "safetensors": write_safetensors,
    "stablehlo": write_stablehlo,
    "onnx": write_onnx,
}
