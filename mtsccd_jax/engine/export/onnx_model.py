"""The forward pass as an ONNX model, with facts that geo tools read."""

import importlib.util
import json
from collections.abc import Mapping
from typing import Any

import jax

from mtsccd_jax.engine.evaluate import Trained
from mtsccd_jax.engine.export.forward import Forward, facts, forward_of
from mtsccd_jax.engine.export.graph import (
    IR_VERSION,
    OPSET,
    Graph,
    NoPlaceInOnnx,
    Value,
    channels_first,
    computed,
    known,
    natural,
    stored_type,
)
from mtsccd_jax.engine.export.lowering import walk
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import AnyPath, replacing
from mtsccd_jax.models.layers.portable import portable_layers
from mtsccd_jax.ops.calls import own_settings

# A file is one protobuf message, which must be smaller than 2 GiB; the graph beside the weights is small.
MOST_BYTES = 2**31 - 2**24


@own_settings()
def write_onnx(trained: Trained, path: AnyPath) -> dict[str, Any]:
    """Write the forward pass with its weights, in float32 whatever the network was trained in.

    The model takes what a StableHLO program takes: stored images `image` (batch, size, size, 3) uint8, or every stored
    band (batch, h, w) by its name; it normalises them itself. It returns `logits` (batch, k) and `features` (batch, d).
    """
    if importlib.util.find_spec("onnx") is None:
        raise InputError("ONNX files need onnx, which is not installed: pip install 'mtsccd-jax[onnx]'")
    forward = forward_of(trained)
    held = sum(array.nbytes for array in jax.tree.leaves(forward.weights))
    if held > MOST_BYTES:
        raise InputError(
            f"{trained.workdir}: an ONNX file holds less than 2 GiB and these weights are {held / 2**30:.1f}; take "
            "--format stablehlo or safetensors"
        )
    try:
        model = onnx_model(forward, properties(facts(trained)))
    except NoPlaceInOnnx as error:
        raise InputError(f"{trained.workdir}: {error} has no place in an ONNX file; take --format stablehlo") from None
    with replacing(path) as stream:
        stream.write(model.SerializeToString())
    return {"opset": OPSET}


def properties(known: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts of a network as `metadata_props`: JSON texts, under plain names and those of QGIS's Deepness.

    Deepness wants classes by number, centimetres a pixel, and the side of a tile, which its code calls `tile_size` and
    its guide `tiles_size` (PUTvision/qgis-plugin-deepness, processing/models/model_base.py and
    docs/source/creators/creators_add_metadata_to_model.rst). What it calls standardization is for it to do, and here
    that is nothing: the network normalises by the plain `mean` and `std` itself. It has no type for whole scenes.
    """
    deepness = {
        "model_type": "Classifier",
        "class_names": dict(enumerate(known["class_names"])),
        "tile_size": known["image_size"],
        "tiles_size": known["image_size"],
        "tiles_overlap": 0,
        "standardization_mean": [0.0] * len(known["mean"]),
        "standardization_std": [1.0] * len(known["std"]),
    }
    if "ground_sample_distance_m" in known:
        deepness["resolution"] = 100 * known["ground_sample_distance_m"]
    return {name: json.dumps(value, ensure_ascii=False) for name, value in {**known, **deepness}.items()}


def onnx_model(forward: Forward, metadata: Mapping[str, str]) -> Any:
    """Return the ONNX model of a forward pass.

    Raises:
        NoPlaceInOnnx: It has an operation that `lowering` does not know.
    """
    from onnx import helper, numpy_helper

    with portable_layers():
        traced, outputs = jax.make_jaxpr(forward.call, return_shape=True)(forward.weights, forward.inputs)
    # JAX takes and returns the entries of a dict in the order of their names.
    inputs, outputs = (dict(sorted(arrays.items())) for arrays in (forward.inputs, outputs))
    graph = Graph(forward.batch, next(iter(inputs)))
    given = [known(array) for array in jax.tree.leaves(forward.weights)]
    given += [taken(graph, name, array) for name, array in inputs.items()]
    for name, value in zip(outputs, walk(graph, traced.jaxpr, traced.consts, given), strict=True):
        graph.nodes.append(helper.make_node("Identity", [graph.tensor(value)], [name], name))
    body = helper.make_graph(
        graph.kept(outputs),
        "network",
        [described(name, array) for name, array in inputs.items()],
        [described(name, array) for name, array in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(body, opset_imports=opset, ir_version=IR_VERSION, producer_name="mtsccd-jax")
    helper.set_model_props(model, dict(metadata))
    return model


def taken(graph: Graph, name: str, array: Any) -> Value:
    """Return an input, of images with channels first at once: runtimes normalise whole planes many times faster."""
    axes = channels_first(4) if len(array.shape) == 4 else natural(len(array.shape))
    return computed(graph.transposed(name, axes), array.shape, array.dtype, axes)


def described(name: str, array: Any) -> Any:
    """Return the name, type and shape of an input or output of a graph."""
    from onnx import helper

    sides = [side if isinstance(side, int) else "batch" for side in array.shape]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(stored_type(array.dtype)), sides)
