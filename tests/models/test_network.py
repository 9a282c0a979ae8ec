"""The images that networks take, and their side classifiers."""

from typing import NamedTuple

import pytest
from small_networks import abstract, evaluating, output_shapes

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS
from mtsccd_jax.models.network import Settings

# A network of every family, its title and the smallest side of an image.
SMALLEST = {
    "scnn": ("an S-CNN", 8),
    "alexnet": ("AlexNet", 63),
    "vgg11": ("a VGG", 32),
    "googlenet": ("GoogLeNet", 15),
    "inception_v2": ("Inception v2", 7),
    "inception_v3": ("Inception v3", 75),
    "resnet18": ("a ResNet", 32),
    "densenet121": ("a DenseNet", 29),
    "efficientnet_b0": ("an EfficientNet", 32),
    "vit_tiny_patch16": ("a ViT", 16),
    "swin_tiny": ("a Swin transformer", 4),
    "convnextv2_atto": ("a ConvNeXt", 32),
    "mlp_mixer_small_patch16": ("an MLP-Mixer", 16),
    "convmixer_768_32": ("a ConvMixer", 7),
    "mobilevit_xxs": ("a MobileViT", 32),
}


def test_the_smallest_images_of_every_family_are_known() -> None:
    assert {MODELS[name].network for name in SMALLEST} == {definition.network for definition in MODELS.values()}


@pytest.mark.parametrize("name", SMALLEST)
def test_images_that_a_network_does_not_take_are_refused(name: str) -> None:
    model, (title, smallest) = abstract(name, image_size=96), SMALLEST[name]
    side = smallest - 1
    with pytest.raises(InputError, match=f"^{title} takes images of {smallest} pixels or more, not {side}x{side}: set"):
        abstract(name, image_size=side)
    if model.image_size is None:
        with pytest.raises(InputError, match=f"{smallest} pixels or more, not 96x{side}"):
            output_shapes(model, 96, side)
    else:
        with pytest.raises(InputError, match=r"^this .* was made for images of 96x96 pixels, not 96x48: resize them"):
            output_shapes(model, 96, 48)


@pytest.mark.parametrize("name", SMALLEST)
def test_every_network_takes_the_smallest_images_and_any_channels(name: str) -> None:
    _, smallest = SMALLEST[name]
    output = output_shapes(evaluating(abstract(name, image_size=smallest, in_channels=7)), smallest, smallest, 7)
    assert output.logits.shape == (2, 5)
    assert min(output.feature_map.shape) > 0


class Shapes(NamedTuple):
    """A network at a width, and the shapes of its features and its last map."""

    name: str
    width: float
    channels: int  # of the images
    features: int
    last: int  # channels
    grids: dict[tuple[int, int], tuple[int, int]]  # height and width of the last map by those of the image


SHAPES = (
    Shapes("scnn", 0.3, 10, 38, 19, {(61, 61): (7, 7)}),
    Shapes("alexnet", 0.3, 7, 1229, 77, {(63, 63): (1, 1), (224, 224): (6, 6), (300, 100): (8, 2)}),
    Shapes("vgg16", 0.3, 7, 1229, 154, {(32, 32): (1, 1), (63, 224): (1, 7), (300, 40): (9, 1)}),
    Shapes("googlenet", 0.3, 7, 306, 306, {(15, 15): (1, 1), (224, 224): (7, 7), (300, 40): (9, 1)}),
    Shapes("inception_v2", 0.3, 7, 307, 307, {(7, 7): (1, 1), (120, 224): (4, 7)}),
    Shapes("inception_v3", 0.3, 7, 614, 614, {(75, 75): (1, 1), (300, 80): (8, 1)}),
    Shapes("resnet50", 0.3, 7, 608, 608, {(32, 32): (1, 1), (33, 63): (2, 2), (300, 40): (10, 2)}),
    Shapes("densenet121", 0.3, 7, 319, 319, {(33, 63): (1, 2)}),
    Shapes("efficientnet_b0", 0.3, 7, 384, 384, {(33, 63): (2, 2)}),
    # The width is that of a head; their number stays.
    Shapes("vit_tiny_patch16", 0.25, 4, 48, 48, {(32, 32): (2, 2)}),
    Shapes("swin_tiny", 0.3, 7, 240, 240, {(32, 32): (1, 1), (33, 63): (1, 2), (300, 4): (10, 1)}),
    Shapes("convnextv2_tiny", 0.3, 7, 230, 230, {(32, 32): (1, 1), (33, 63): (1, 1), (300, 40): (9, 1)}),
    Shapes("mlp_mixer_small_patch16", 0.25, 4, 128, 128, {(48, 48): (3, 3)}),
    Shapes("convmixer_768_32", 0.02, 7, 15, 15, {(32, 32): (4, 4), (33, 63): (4, 9), (300, 14): (42, 2)}),
    Shapes("mobilevit_s", 0.3, 7, 192, 192, {(33, 100): (2, 4)}),
    # The networks of reBEN at its image size and all 12 bands. Incomplete patches are cut off.
    Shapes("resnet50", 1.0, 12, 2048, 2048, {(120, 120): (4, 4)}),
    Shapes("resnet101", 1.0, 12, 2048, 2048, {(120, 120): (4, 4)}),
    Shapes("vit_base_patch8", 1.0, 12, 768, 768, {(120, 120): (15, 15)}),
    Shapes("convnextv2_base", 1.0, 12, 1024, 1024, {(120, 120): (3, 3)}),
    Shapes("mobilevit_s", 1.0, 12, 640, 640, {(120, 120): (4, 4)}),
    Shapes("mlp_mixer_base_patch16", 1.0, 12, 768, 768, {(120, 120): (7, 7)}),
    Shapes("convmixer_768_32", 1.0, 12, 768, 768, {(120, 120): (17, 17)}),
)


@pytest.mark.parametrize("case", SHAPES, ids=lambda case: f"{case.name}-{case.width}")
def test_any_size_channels_and_width(case: Shapes) -> None:
    # Below 299 pixels Inception v3 has no side classifier, which would not take the smaller images.
    made_for = min(next(iter(case.grids))[0], 224)
    model = abstract(case.name, num_classes=3, image_size=made_for, in_channels=case.channels, width=case.width)
    for (height, width), grid in case.grids.items():
        output = output_shapes(model, height, width, case.channels)
        assert output.logits.shape == (2, 3)
        assert output.features.shape == (2, case.features)
        assert output.feature_map.shape == (2, *grid, case.last)


@pytest.mark.parametrize(("width", "scaled"), [(1.0, 96), (0.3, 29), (0.001, 1)])
def test_width_scales_channels_to_one_at_least(width: float, scaled: int) -> None:
    assert Settings(width).scaled(96) == scaled


@pytest.mark.parametrize(
    ("name", "size", "evaluated", "sides"), [("googlenet", 64, 64, 2), ("inception_v3", 299, 150, 1)]
)
def test_side_classifiers_score_images_in_training_alone(name: str, size: int, evaluated: int, sides: int) -> None:
    model = abstract(name, image_size=size)
    assert [logits.shape for logits in output_shapes(model, size, size).auxiliary] == sides * [(2, 5)]
    assert output_shapes(evaluating(model), evaluated, evaluated).auxiliary == ()


def test_inception_v3_has_a_side_classifier_from_299_pixels_on() -> None:
    with pytest.raises(InputError, match="with a side classifier takes images of 299 pixels or more, not 150x150"):
        output_shapes(abstract("inception_v3", image_size=299), 150, 150)
    assert output_shapes(abstract("inception_v3", image_size=298), 298, 298).auxiliary == ()
