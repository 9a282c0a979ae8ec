"""The networks of reBEN at its image size and numbers of bands: shapes of all, small relatives against timm."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.models import create_model

SIDE, CLASSES = 120, 19
# Sentinel-1, the ten bands of 10 and 20 m of Sentinel-2, and both.
BANDS = (2, 10, 12)
# Side and channels of the last map.
MAPS = {
    "resnet50": (4, 2048),
    "resnet101": (4, 2048),
    "vit_base_patch8": (15, 768),
    "convnextv2_base": (3, 1024),
    "mobilevit_s": (4, 640),
    # Seven patches of 16 pixels fill 112 of 120, and seventeen of 7 fill 119.
    "mlp_mixer_base_patch16": (7, 768),
    "convmixer_768_32": (17, 768),
}


@pytest.mark.parametrize("name", MAPS)
def test_the_networks_take_120_pixels_and_all_bands(name: str) -> None:
    (side, width), bands = MAPS[name], BANDS[-1]
    model = nnx.eval_shape(
        lambda: create_model(
            name, num_classes=CLASSES, image_size=SIDE, in_channels=bands, dropout=0.15, rngs=nnx.Rngs(0)
        )
    )
    image = jax.ShapeDtypeStruct((2, SIDE, SIDE, bands), "float32")
    output = nnx.eval_shape(lambda model, image: model(image), model, image)
    assert output.logits.shape == (2, CLASSES)
    assert output.features.shape == (2, width)
    assert output.feature_map.shape == (2, side, side, width)


class Relative(NamedTuple):
    """A small network, what timm calls it, and where its features and its last map (b, h, w, c) are in timm's."""

    name: str
    timm_name: str
    features: str
    feature_map: Callable[[dict[str, Any]], Any]


def tokens(side: int, others: int = 0) -> Callable[[dict[str, Any]], Any]:
    """The normalised tokens in their places, without `others` that have none."""
    return lambda seen: seen["norm"][:, others:].reshape(2, side, side, -1)


def last_map(part: str) -> Callable[[dict[str, Any]], Any]:
    """The output of a part, its channels last."""
    return lambda seen: seen[part].permute(0, 2, 3, 1)


RELATIVES = (
    Relative("resnet18", "resnet18", "fc:in", last_map("layer4")),
    Relative("vit_tiny_patch16", "vit_tiny_patch16_224", "head:in", tokens(7, others=1)),
    Relative("convnextv2_atto", "convnextv2_atto", "head.fc:in", last_map("stages")),
    Relative("mobilevit_xxs", "mobilevit_xxs", "head.global_pool", last_map("final_conv")),
    Relative("mlp_mixer_small_patch16", "mixer_s16_224", "head:in", tokens(7)),
    Relative("convmixer_768_32", "convmixer_768_32", "head:in", last_map("blocks")),
)


@pytest.mark.parity
@pytest.mark.parametrize("bands", BANDS)
@pytest.mark.parametrize("relative", RELATIVES, ids=lambda relative: relative.name)
def test_small_relatives_equal_timm_at_120_pixels(relative: Relative, bands: int) -> None:
    pytest.importorskip("torch", reason="the reference is timm in torch")
    sized = {"img_size": SIDE} if relative.features == "head:in" and "convmixer" not in relative.name else {}
    try:
        timm = torch_reference.import_timm()
    except ModuleNotFoundError:
        pytest.skip("timm, the reference, is not installed")
    reference = timm.create_model(relative.timm_name, num_classes=CLASSES, in_chans=bands, **sized)
    torch_reference.check_evaluation(
        relative.name,
        reference,
        SIDE,
        features=lambda seen: seen[relative.features],
        feature_map=relative.feature_map,
        in_channels=bands,
    )
