"""A new hidden layer and dropout between features and classifier, against torch and torchvision's rates."""

from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx
from small_networks import abstract, evaluating, filled, published_shapes

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS
from mtsccd_jax.models.layers.dropout import Dropout
from mtsccd_jax.models.layers.head import Head
from mtsccd_jax.models.layers.linear import torch_linear
from mtsccd_jax.models.network import AUXILIARY
from mtsccd_jax.models.weights.files import WeightFile
from mtsccd_jax.models.weights.mapping import fit, published, slots


def file_of(model: nnx.Module, name: str = "resnet18") -> WeightFile:
    """Return the network as a published file."""
    return WeightFile("w.safetensors", published(model, MODELS[name].names[0]), sha256="")


def given(model: nnx.Module, weights: WeightFile, name: str = "resnet18") -> list[str]:
    """Put published weights into the network; return the notes."""
    fitted = fit(model, MODELS[name].names, weights)
    variables = {path: node for path, node in nnx.iter_graph(model) if isinstance(node, nnx.Variable)}
    for path, value in fitted.arrays.items():
        variables[path].set_value(jnp.asarray(value))
    return fitted.notes


def forward(model: nnx.Module, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and features in evaluation mode."""
    forward = jax.jit(lambda model, image: model(image), compiler_options=torch_reference.QUICK)
    output = forward(evaluating(model), image)
    return np.asarray(output.logits), np.asarray(output.features)


def dropouts(model: nnx.Module) -> list[Dropout]:
    """Return the dropout of a network without its stochastic depth."""
    modules = [node for _, node in nnx.iter_graph(model) if isinstance(node, Dropout)]
    return [module for module in modules if not module.whole_example]


def test_a_hidden_layer_stands_between_the_features_and_a_new_classifier() -> None:
    """Published weights fill the network below the head; torch's layers of these names do the same."""
    torch = pytest.importorskip("torch", reason="the reference is the same head in torch")
    plain, deep = filled("scnn", 0, image_size=32), filled("scnn", 1, image_size=32, hidden=7)
    assert given(deep, file_of(plain, "scnn"), "scnn") == ["head: no hidden layer there; begins at random"]
    image = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype(np.float32)
    (_, features), (logits, deep_features) = forward(plain, image), forward(deep, image)
    np.testing.assert_array_equal(deep_features, features)
    layers = {
        "hidden": torch.nn.Linear(features.shape[1], 7),
        "rectified": torch.nn.ReLU(),
        "output": torch.nn.Linear(7, 5),
    }
    reference = torch.nn.Sequential(OrderedDict(layers))
    head = {name.removeprefix("fc2."): value for name, value in file_of(deep, "scnn").arrays.items() if "fc2" in name}
    reference.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in head.items()}, strict=True)
    with torch.no_grad():
        expected = reference(torch.from_numpy(features.copy())).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["alexnet", "efficientnet_b0", "vit_tiny_patch16"])
def test_both_layers_have_names_in_every_dialect_and_all_else_is_as_without(name: str) -> None:
    plain, deep = abstract(name), abstract(name, hidden=6, dropout=0.25)
    for dialect in MODELS[name].names:
        heads = [{slot.name for slot in slots(model, dialect) if slot.path[0] == "head"} for model in (plain, deep)]
        part = next(iter(heads[0])).rpartition(".")[0]
        assert heads[0] == {f"{part}.weight", f"{part}.bias"}
        assert heads[1] == {f"{part}.{layer}.{array}" for layer in ("hidden", "output") for array in ("weight", "bias")}
        bodies = [
            [(slot.name, slot.variable.shape) for slot in slots(model, dialect) if slot.path[0] != "head"]
            for model in (plain, deep)
        ]
        assert bodies[0] == bodies[1]
    assert deep.head.hidden.kernel.shape == (plain.head.kernel.shape[0], 6)
    assert deep.head.output.kernel.shape == (6, 5)


def test_new_layers_begin_as_torch_begins_its_own() -> None:
    head = Head(torch_linear(64, 10, rngs=nnx.Rngs(0)), 100, 0.0, dtype=jnp.float32, rngs=nnx.Rngs(1))
    for layer, inputs in ((head.hidden, 64), (head.output, 100)):
        for array in (layer.kernel, layer.bias):
            assert 0.9 * inputs**-0.5 < np.abs(array[...]).max() <= inputs**-0.5


@pytest.mark.parametrize(
    ("there", "here", "note"),
    [
        ({"hidden": 7}, {"hidden": 7}, None),
        ({}, {"hidden": 7}, "no hidden layer there"),
        # The classifier alone would fit.
        ({}, {"hidden": 64}, "no hidden layer there"),
        ({"hidden": 7}, {}, "a hidden layer there, none here"),
        ({"hidden": 7}, {"hidden": 6}, "7 hidden units there, 6 here"),
        # So would the hidden layer.
        ({"hidden": 7, "num_classes": 9}, {"hidden": 7}, "9 classes there, 5 here"),
        ({}, {"dropout": 0.5}, None),
        ({"dropout": 0.5}, {}, None),
    ],
)
def test_a_head_is_taken_whole_or_not_at_all(there: dict, here: dict, note: str | None) -> None:
    model, weights = filled("resnet18", 0, **here), file_of(filled("resnet18", 1, **there))
    before = file_of(model).arrays
    assert given(model, weights) == ([f"head: {note}; begins at random"] if note else [])
    for name, value in file_of(model).arrays.items():
        expected = before[name] if note and name.startswith("fc.") else weights.arrays[name]
        np.testing.assert_array_equal(value, expected, err_msg=name)


def test_a_file_without_any_head_leaves_both_layers_random() -> None:
    arrays = {name: value for name, value in file_of(filled("resnet18", 1)).arrays.items() if "fc." not in name}
    model = filled("resnet18", 0, hidden=7)
    assert given(model, WeightFile("w.safetensors", arrays, sha256="")) == ["head: none there; begins at random"]


def test_what_no_head_has_is_still_unknown() -> None:
    arrays = file_of(filled("resnet18", 1)).arrays | {"fc.hidden.scale": np.ones(3, np.float32)}
    with pytest.raises(InputError, match=r"1 unknown \(fc\.hidden\.scale\)"):
        fit(filled("resnet18", 0, hidden=7), MODELS["resnet18"].names, WeightFile("w.safetensors", arrays, sha256=""))


def test_dropout_is_of_the_features_and_only_with_keys() -> None:
    classifier = nnx.eval_shape(lambda: torch_linear(1000, 1000, rngs=nnx.Rngs(0)))
    classifier.kernel.set_value(jnp.eye(1000))
    classifier.bias.set_value(jnp.zeros(1000))
    head = Head(classifier, None, 0.2, dtype=jnp.float32, rngs=nnx.Rngs(1))
    features = jnp.ones((2, 1000))
    np.testing.assert_array_equal(head(features), features)
    dropped = np.asarray(nnx.view(head, example_keys=jax.random.split(jax.random.key(0), 2))(features))
    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.8)}
    assert (dropped == 0).mean() == pytest.approx(0.2, abs=0.03)
    assert (dropped[0] != dropped[1]).any()


@pytest.mark.parametrize("dropout", [None, 0.3])
@pytest.mark.parametrize("name", ["alexnet", "vgg11", "googlenet", "inception_v3", "efficientnet_b0"])
def test_dropout_replaces_the_networks_own_as_in_torchvision(name: str, dropout: float | None) -> None:
    torch = pytest.importorskip("torch", reason="the reference is torchvision's network")
    models = torch_reference.import_torchvision().models
    arguments = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        reference = getattr(models, name)(**arguments, **({} if dropout is None else {"dropout": dropout}))
    model = abstract(name, dropout=dropout, image_size=96)
    expected = [module.p for module in reference.modules() if type(module) is torch.nn.Dropout]
    assert sorted(module.rate for module in dropouts(model)) == sorted(expected)
    assert isinstance(model.head, nnx.Linear)


@pytest.mark.parametrize("name", ["scnn", "resnet18", "vit_tiny_patch16"])
def test_networks_without_dropout_get_one_before_the_classifier(name: str) -> None:
    plain, model = abstract(name), abstract(name, dropout=0.3)
    assert not dropouts(plain)
    assert [module.rate for module in dropouts(model)] == [model.head.dropout.rate] == [0.3]
    names = MODELS[name].names[0]
    assert published_shapes(plain, names) == published_shapes(model, names)


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "vit_tiny_patch16"])
def test_nothing_asked_for_is_the_network_as_published(name: str) -> None:
    plain, same = abstract(name), abstract(name, hidden=None, dropout=None, drop_path=None)
    assert nnx.graphdef(plain) == nnx.graphdef(same)
    assert isinstance(plain.head, nnx.Linear)
    assert all(path[0] != "head" or len(path) == 2 for path, _ in nnx.to_flat_state(nnx.state(plain)))


def test_side_classifiers_stay_as_they_are() -> None:
    model = abstract("googlenet", hidden=6, dropout=0.1)
    sides = [part for path, part in nnx.iter_graph(model) if path[:1] == (AUXILIARY,) and isinstance(part, Dropout)]
    assert [side.rate for side in sides] == [0.7, 0.7]
    assert all(side.head.out_features == 5 for side in model.auxiliary)
