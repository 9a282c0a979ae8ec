"""Functions and files as ONNX Runtime runs them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime

from mtsccd_jax.engine.export.forward import Forward
from mtsccd_jax.engine.export.onnx_model import onnx_model


def session_of(content: bytes) -> onnxruntime.InferenceSession:
    """Open a model in ONNX Runtime, without threads, which spin while they wait."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def exported(
    function: Callable[[Any, dict[str, Any]], Any], weights: Any, **shapes: tuple[int, ...]
) -> onnxruntime.InferenceSession:
    """Open the model of a function of weights and a dict of float32 arrays, whose first sides are free."""
    (batch,) = jax.export.symbolic_shape("b")
    inputs = {name: jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for name, shape in shapes.items()}
    return session_of(onnx_model(Forward(function, weights, inputs, batch), {}).SerializeToString())


def outputs_of(session: onnxruntime.InferenceSession, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Run a model and return its outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))
