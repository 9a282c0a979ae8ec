"""The table of networks and what holds for every one of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export
from small_networks import abstract, evaluating, filled, output_shapes

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS, create_model, describe_models, list_models
from mtsccd_jax.models.layers.dropout import Dropout
from mtsccd_jax.models.resnet import BasicBlock

# A side that every network takes.
SIDE = 96
# The classifier of these sees what a fully connected layer makes of the map.
BEYOND_THE_MAP = ("scnn", "alexnet", "vgg11", "vgg16", "vgg19")
# One of each family, and of each kind of block. All but two compile or lower with the full-size comparisons.
FAMILIES = [
    "resnet18",
    "vit_tiny_patch16",
    *(
        pytest.param(name, marks=pytest.mark.parity)
        for name in (
            *("scnn", "alexnet", "vgg11", "googlenet", "inception_v2", "inception_v3", "resnet50", "seresnet50"),
            *("densenet121", "efficientnet_b0", "swin_tiny", "convnextv2_atto", "mlp_mixer_small_patch16"),
            *("convmixer_768_32", "mobilevit_s"),
        )
    ),
]


def test_every_network_is_described_with_its_published_size() -> None:
    described = {entry["name"]: entry for entry in describe_models()}
    assert list(described) == list_models() == list(MODELS)
    # torchvision's and timm's tables; attention's own products are counted, as torchvision does.
    for name, gmacs, width in (
        ("alexnet", 0.71, 4096),
        ("vgg16", 15.47, 4096),
        ("vgg19", 19.63, 4096),
        ("googlenet", 1.50, 1024),
        ("seresnet50", 4.09, 2048),
        ("densenet121", 2.83, 1024),
        ("densenet169", 3.36, 1664),
        ("densenet201", 4.29, 1920),
        ("efficientnet_b0", 0.39, 1280),
        ("swin_tiny", 4.49, 768),
        ("convnextv2_base", 15.38, 1024),
        ("mlp_mixer_base_patch16", 12.61, 768),
        ("vit_base_patch8", 78.22, 768),
        ("resnet18", 1.81, 512),
        ("resnet34", 3.66, 512),
        ("resnet50", 4.09, 2048),
        ("resnet101", 7.80, 2048),
        ("vit_tiny_patch16", 1.25, 192),
        ("vit_small_patch16", 4.60, 384),
        ("vit_base_patch16", 17.56, 768),
    ):
        assert described[name]["gmacs_224"] == pytest.approx(gmacs, abs=0.006, rel=2e-3), name
        assert described[name]["feature_width"] == width, name
        assert described[name]["source"].startswith("arXiv:")
    # Without side classifiers.
    for name, params in (("resnet18", 11_689_512), ("googlenet", 6_624_904), ("inception_v2", 11_295_240)):
        assert described[name]["params"] == params


@pytest.mark.parametrize(("channels", "parameters"), [(3, 1_895_435), (12, 1_902_635)])
def test_the_shallow_cnn_has_as_many_parameters_as_its_layers_add_up_to(channels: int, parameters: int) -> None:
    model = abstract("scnn", num_classes=43, image_size=120, in_channels=channels, width=1.0)
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))) == parameters


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown model 'resnet-18'.*Did you mean 'resnet18'\?"):
        create_model("resnet-18", num_classes=2, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("num_classes", 0, "num_classes of model 'resnet18' must be positive, not 0"),
        ("in_channels", -1, "in_channels of model 'resnet18' must be positive, not -1"),
        ("width", 0.0, "width of model 'resnet18' must be positive"),
        ("width", float("nan"), "width of model 'resnet18' must be positive"),
        ("hidden", 0, r"model\.hidden=0: must be positive"),
        ("dropout", 1.0, r"model\.dropout=1\.0: must be a share of 0 or more and below 1"),
        ("dropout", -0.1, r"model\.dropout=-0\.1: must be a share"),
        ("drop_path", float("nan"), r"model\.drop_path=nan: must be a share"),
        ("features", "linear", r"model\.features=linear: of 'resnet18' no rectifier follows the features"),
    ],
)
def test_numbers_and_settings_out_of_range_are_refused(argument: str, value: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        abstract("resnet18", **{argument: value})


@pytest.mark.parametrize("name", MODELS)
def test_every_network_keeps_the_contract(name: str) -> None:
    """Check shapes and types of the output, float32 parameters under bfloat16, salts, and that nothing is shared."""
    model = abstract(name, image_size=SIDE, dtype=jnp.bfloat16)
    output = output_shapes(evaluating(model), SIDE, SIDE)
    assert output.logits.shape == (2, 5)
    assert output.logits.dtype == output.features.dtype == jnp.float32
    assert output.feature_map.dtype == jnp.bfloat16
    assert output.feature_map.ndim == 4
    assert (output.feature_map.shape[3] == output.features.shape[1]) == (name not in BEYOND_THE_MAP)
    leaves = jax.tree.leaves(nnx.state(model))
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)
    assert len(jax.tree.leaves(model)) == len(leaves)
    salts = [node.salt for _, node in nnx.iter_graph(model) if isinstance(node, Dropout)]
    assert len(set(salts)) == len(salts)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16"])
def test_the_forward_pass_lowers_for_every_platform(name: str) -> None:
    graph, state = nnx.split(evaluating(abstract(name, image_size=SIDE)))
    forward = export.export(
        jax.jit(lambda state, image: nnx.merge(graph, state)(image)[:3]), platforms=["cpu", "cuda", "tpu"]
    )
    exported = forward(state, jax.ShapeDtypeStruct((2, SIDE, SIDE, 3), jnp.float32))
    assert next(leaf.shape for leaf in exported.out_avals) == (2, 5)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_gradient_lowers_for_every_platform(name: str) -> None:
    graph, params, rest = nnx.split(abstract(name, image_size=SIDE, dtype=jnp.bfloat16), nnx.Param, ...)

    def gradient(params: nnx.State, rest: nnx.State, image: jax.Array) -> nnx.State:
        return jax.grad(lambda params: jnp.sum(nnx.merge(graph, params, rest, copy=True)(image).logits))(params)

    image = jax.ShapeDtypeStruct((2, SIDE, SIDE, 3), jnp.float32)
    export.export(jax.jit(gradient), platforms=["cpu", "cuda", "tpu"])(params, rest, image)


@pytest.mark.parametrize("name", FAMILIES)
def test_bfloat16_is_close_to_float32(name: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(4, SIDE, SIDE, 3)).astype(np.float32)
    # Drawn here rather than by the network, whose generators would have to be compiled.
    weights = {
        path: rng.normal(size=leaf.shape) * (2 / np.prod(leaf.shape[:-1])) ** 0.5
        if path[-1] == "kernel"
        else np.full(leaf.shape, path[-1] in ("scale", "var"))
        for path, leaf in nnx.to_flat_state(nnx.state(abstract(name, image_size=SIDE)))
    }
    features = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        graph, state = nnx.split(evaluating(abstract(name, image_size=SIDE, dtype=dtype)))
        flat = [(path, leaf.replace(jnp.asarray(weights[path], leaf.dtype))) for path, leaf in nnx.to_flat_state(state)]
        forward = jax.jit(lambda state, image, graph=graph: nnx.merge(graph, state)(image).features)
        features[dtype] = np.asarray(forward(nnx.from_flat_state(flat), image))
    error = np.linalg.norm(features[jnp.bfloat16] - features[jnp.float32]) / np.linalg.norm(features[jnp.float32])
    assert 0 < error < 0.05


def test_the_same_seed_gives_the_same_weights() -> None:
    def weights(seed: int) -> list[jax.Array]:
        block = BasicBlock(4, 8, 2, Dropout(0, salt=0), dtype=jnp.float32, rngs=nnx.Rngs(seed))
        return jax.tree.leaves(nnx.state(block))

    first, again, other = (weights(seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_features_before_the_rectifier_are_those_behind_it_but_for_the_rectifier(name: str) -> None:
    image = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    behind, before = (
        jax.jit(lambda model, image: model(image))(evaluating(filled(name, features=features)), image)
        for features in ("rectified", "linear")
    )
    assert before.features.min() < 0
    np.testing.assert_array_equal(nnx.relu(before.features), behind.features)
    np.testing.assert_array_equal(before.logits, behind.logits)
