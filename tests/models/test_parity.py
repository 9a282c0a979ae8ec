"""Every network against the same one in torch: names and shapes of its arrays, outputs, and one training step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch_reference
from flax import nnx
from peers import PEERS
from small_networks import abstract, published_shapes

from mtsccd_jax.engine.export.weights import state_dict
from mtsccd_jax.models import MODELS
from mtsccd_jax.recipes.config import Data, Model, Recipe

parity = pytest.mark.parity


def full_size(*cases: tuple) -> list:
    """Return cases that are run as comparisons of full-size networks."""
    return [pytest.param(*case, marks=parity) for case in cases]


def each(names: str, *others: Any) -> list[tuple]:
    """Return a case for every one of some names and every one of some sizes."""
    return [(name, *other) for name in names.split() for other in others]


@pytest.mark.parametrize(("key", "size"), [*((key, 224) for key in PEERS), ("inception_v3", 299)])
def test_every_array_has_its_published_name_and_shape(key: str, size: int) -> None:
    torch = pytest.importorskip("torch", reason="the reference is a network in torch")
    name, peer = key.partition("@")[0], PEERS[key]
    with torch.device("meta"):
        reference = peer.make(1000, size)
    expected = {name: tuple(value.shape) for name, value in reference.state_dict().items() if value.is_floating_point()}
    model = abstract(name, num_classes=1000, image_size=size, width=1.0)
    assert published_shapes(model, peer.names or MODELS[name].names[0]) == expected


@pytest.mark.parametrize(("name", "size"), [*((name, 224) for name in PEERS if name in MODELS), ("inception_v3", 299)])
def test_torch_takes_an_exported_network_as_it_is(name: str, size: int) -> None:
    torch = pytest.importorskip("torch", reason="the reference is a network in torch")
    model = abstract(name, num_classes=10, image_size=size, width=1.0)
    for _, node in nnx.iter_graph(model):
        if isinstance(node, nnx.Variable):
            node.set_value(np.broadcast_to(np.float32(0), node.shape))  # takes no memory
    recipe = Recipe("", "", data=Data(image_size=size), model=Model(name))
    with torch.device("meta"):
        # At 299 pixels torch's Inception has the side classifier, as it does by default.
        reference = PEERS[name].make(10, 299 if name == "inception_v3" else size)
        arrays = state_dict(recipe, model, 10).items()
        given = {key: torch.empty(array.shape, dtype=getattr(torch, str(array.dtype))) for key, array in arrays}
    reference.load_state_dict(given, strict=True, assign=True)


@pytest.mark.parametrize(
    ("key", "size", "channels"),
    [
        *each("scnn", (224, 3), (120, 12), (45, 3), (8, 12)),
        *each("resnet18", ((96, 96), 3), ((64, 80), 3)),
        *each("resnet50", (224, 3), ((33, 47), 3)),
        ("convnextv2_atto", (75, 64), 3),
        # Incomplete patches are cut off.
        ("vit_tiny_patch16", 40, 3),
        ("mlp_mixer_small_patch16", 60, 3),
        *full_size(
            *each("alexnet", (63, 3), (224, 3)),
            *each("vgg11 vgg16 vgg19", (32, 3), (224, 3)),
            *each("googlenet", (15, 3), (33, 3), (120, 3), (224, 3)),
            *each("inception_v2", (7, 3), (32, 3), (120, 3), (224, 3)),
            *each("inception_v3", (75, 3), (224, 3), (299, 3)),
            ("resnet18", 224, 3),
            *each("resnet34 resnet101 resnet152 seresnet50", (224, 3), ((75, 110), 3)),
            *each("densenet121 densenet169 densenet201", (224, 3), ((61, 94), 3)),
            *each("efficientnet_b0 efficientnet_b0@timm", (224, 3), ((75, 110), 3)),
            ("vit_tiny_patch16", 224, 3),
            *each("vit_small_patch16", (224, 3), (96, 3)),
            *each("vit_base_patch16", (224, 3), (64, 3)),
            *each("vit_base_patch8", (224, 3), (40, 3)),
            *each("swin_tiny", (224, 3), ((250, 96), 3), (4, 3)),
            ("swin_tiny@timm", 224, 3),
            ("convnextv2_atto", 224, 3),
            *each("convnextv2_tiny", (224, 3), ((32, 45), 3)),
            *each("convnextv2_base", (224, 3), ((64, 96), 3)),
            ("mlp_mixer_small_patch16", 224, 3),
            *each("mlp_mixer_base_patch16", (224, 3), (96, 3)),
            *each("convmixer_768_32", (224, 3), ((64, 80), 3)),
            *each("mobilevit_xxs mobilevit_xs mobilevit_s", (224, 3), (256, 3), ((72, 100), 3)),
            # reBEN's images: Sentinel-1, the ten bands of 10 and 20 m of Sentinel-2, and both.
            *each("resnet18@timm vit_tiny_patch16 convnextv2_atto mobilevit_xxs", (120, 2), (120, 10), (120, 12)),
            *each("mlp_mixer_small_patch16 convmixer_768_32", (120, 2), (120, 10), (120, 12)),
        ),
    ],
)
def test_logits_features_and_map_equal_the_reference(key: str, size: int | tuple[int, int], channels: int) -> None:
    peer, side = PEERS[key], size if isinstance(size, int) else size[0]
    given = {} if channels == 3 else {"in_chans": channels}
    torch_reference.check_evaluation(
        key.partition("@")[0],
        peer.model(10, side, **given),
        size,
        features=peer.features,
        feature_map=peer.feature_map,
        names=peer.names,
        in_channels=channels,
    )


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *each("alexnet", ((63, 63),), ((224, 224),), ((100, 300),)),
        *each("vgg11", ((32, 32),), ((300, 100),)),
        ("vgg16", (224, 224)),
        ("vgg19", (64, 64)),
        ("seresnet50", (33, 64)),
        *each("densenet121", ((64, 64),), ((29, 47),)),
        *each("efficientnet_b0", ((64, 64),), ((33, 47),)),
        *each("convmixer_768_32", ((70, 45),), ((7, 13),)),
        # Maps of odd sides are stretched.
        *each("mobilevit_s", ((64, 64),), ((33, 44),)),
    ],
)
def test_small_variants_equal_the_reference(small_variant: Callable, name: str, size: tuple[int, int]) -> None:
    peer, (reference, settings) = PEERS[name], small_variant(name, size[0])
    torch_reference.check_evaluation(
        name, reference, size, features=peer.features, feature_map=peer.feature_map, settings=settings
    )


def check_step(name: str, reference: Any, size: int, tolerance: float, **arguments: Any) -> None:
    """Check a training step."""
    # The gradient of a zero bias before a normalisation is nothing but rounding.
    if name.startswith(("efficientnet", "vit", "mlp_mixer", "mobilevit")):
        torch_reference.randomize(reference, seed=1)
    weight = PEERS[name].side_weight
    torch_reference.check_training_step(name, reference, size, side_weight=weight, tolerance=tolerance, **arguments)


@pytest.mark.parametrize(
    ("name", "size", "channels", "tolerance"),
    [
        *each("scnn", (60, 3, 1e-6), (120, 12, 1e-6)),
        *full_size(
            ("alexnet", 224, 3, 1e-6),
            *each("vgg11 vgg16 vgg19", (64, 3, 1e-6)),
            # With both side classifiers, and with the one that Inception v3 has from 299 pixels on.
            ("googlenet", 224, 3, 1e-5),
            ("inception_v3", 299, 3, 1e-5),
            ("inception_v2", 128, 3, 1e-5),
            *each("resnet18 resnet34 resnet50 resnet101 resnet152", (80, 3, 1e-4)),
            *each("seresnet50 densenet121 densenet169 densenet201", (64, 3, 1e-5)),
            ("efficientnet_b0", 64, 3, 1e-6),
            # JAX computes the softmax of attention in float32 where all else is float64.
            *each("vit_tiny_patch16 vit_small_patch16 vit_base_patch16 vit_base_patch8", (64, 3, 1e-5)),
            ("swin_tiny", 96, 3, 1e-5),
            *each("convnextv2_atto convnextv2_tiny convnextv2_base", (64, 3, 1e-6)),
            *each("mlp_mixer_small_patch16 mlp_mixer_base_patch16", (224, 3, 1e-6)),
            ("convmixer_768_32", 63, 3, 1e-6),
            *each("mobilevit_xxs mobilevit_xs mobilevit_s", (64, 3, 1e-5)),
        ),
    ],
)
def test_one_training_step_equals_the_reference(name: str, size: int, channels: int, tolerance: float) -> None:
    given = {} if channels == 3 else {"in_chans": channels}
    check_step(name, PEERS[name].model(10, size, **given), size, tolerance, in_channels=channels)


@pytest.mark.parametrize(
    ("name", "size", "tolerance"),
    [
        ("resnet18", 64, 1e-5),
        ("vit_tiny_patch16", 64, 1e-5),
        # Both maps that are cut into patches have odd sides, so that the gradient of the stretching counts.
        *full_size(("mobilevit_s", 36, 1e-5)),
    ],
)
def test_one_training_step_of_small_variants_equals_the_reference(
    small_variant: Callable, name: str, size: int, tolerance: float
) -> None:
    reference, settings = small_variant(name, size)
    check_step(name, reference, size, tolerance, settings=settings)
