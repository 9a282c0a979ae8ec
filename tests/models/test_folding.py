"""Folded networks answer as the networks they were made of."""

import jax
import numpy as np
import pytest
from flax import nnx
from torch_reference import relative_error

from mtsccd_jax.models import MODELS, create_model
from mtsccd_jax.models.folding import fold_batch_norm
from mtsccd_jax.models.layers.blocks import BatchNorm, ConvNorm

SMALL = {"num_classes": 5, "image_size": 96, "width": 0.25}


def with_batch_norm() -> list[str]:
    names = []
    for name in MODELS:
        model = nnx.eval_shape(lambda name=name: create_model(name, num_classes=2, rngs=nnx.Rngs(0)))
        if any(isinstance(node, ConvNorm) for _, node in nnx.iter_graph(model)):
            names.append(name)
    return names


def filled(name: str) -> nnx.Module:
    """A small network whose every number counts."""
    model = nnx.eval_shape(lambda: create_model(name, **SMALL, rngs=nnx.Rngs(0)))
    generator = np.random.default_rng(0)
    for path, node in nnx.iter_graph(model):
        if isinstance(node, nnx.Variable):
            deviation = float(np.prod(node.shape[:-1])) ** -0.5 if path[-1] == "kernel" else 0.1
            value = generator.normal(0, deviation, node.shape).astype(np.float32)
            node.set_value({"scale": 1 + value, "var": 0.5 + np.abs(value)}.get(path[-1], value))
    return nnx.view(model, use_running_average=True, raise_if_not_found=False)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_logits_stay_and_no_normalisation_is_left(name: str) -> None:
    model = filled(name)
    folded = fold_batch_norm(model)
    assert not any(isinstance(node, BatchNorm) for _, node in nnx.iter_graph(folded))
    assert any(isinstance(node, BatchNorm) for _, node in nnx.iter_graph(model)), "the network itself is as it was"
    image = np.random.default_rng(1).normal(size=(2, 96, 96, 3)).astype(np.float32)
    forward = jax.jit(lambda model, image: model(image))
    before, after = forward(model, image), forward(folded, image)
    assert relative_error(after.logits, np.asarray(before.logits)) < 1e-4
    assert relative_error(after.feature_map, np.asarray(before.feature_map)) < 1e-4
