"""The networks: one literal table, and the function that makes any of them."""

import importlib.resources
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.errors import InputError, nearest
from mtsccd_jax.models import (
    alexnet,
    convmixer,
    convnext,
    densenet,
    efficientnet,
    mixer,
    mobilevit,
    resnet,
    scnn,
    swin,
    vgg,
    vit,
)
from mtsccd_jax.models.inception import googlenet, inception_v2, inception_v3
from mtsccd_jax.models.layers.head import Head
from mtsccd_jax.models.layers.initializers import Keys
from mtsccd_jax.models.layers.precision import wide
from mtsccd_jax.models.network import PUBLISHED, ImageNetwork, Names, Settings, Signature

__all__ = ["MODELS", "Definition", "Settings", "create_model", "describe_models", "list_models"]


@dataclass(frozen=True)
class Definition:
    """One network of the table: its family, and what distinguishes it there."""

    network: type[ImageNetwork]
    architecture: Any
    names: tuple[Callable[[Any], Names], ...]  # of its parts, one function a dialect; exported weights have the first
    source: str
    buffers: Callable[[Any], Iterable[tuple[str, Any]]] = (
        lambda network: ()
    )  # saved beside parameters, in the first dialect


def _resnet(block: type, depths: tuple[int, int, int, int], source: str = "arXiv:1512.03385") -> Definition:
    return Definition(resnet.ResNet, resnet.Architecture(block, depths), (resnet.names,), source)


def _densenet(depths: tuple[int, int, int, int]) -> Definition:
    dialects = (densenet.names, densenet.file_names)
    return Definition(densenet.DenseNet, densenet.Architecture(depths), dialects, "arXiv:1608.06993")


def _mobilevit(architecture: mobilevit.Architecture) -> Definition:
    return Definition(mobilevit.MobileVit, architecture, (mobilevit.names,), "arXiv:2110.02178")


def _vgg(*depths: int) -> Definition:
    return Definition(vgg.VGG, vgg.Architecture(depths), (vgg.names, vgg.timm_names), "arXiv:1409.1556")


def _vit(patch: int, embedding: int, heads: int, source: str) -> Definition:
    dialects = (vit.names, vit.torchvision_names)
    return Definition(vit.VisionTransformer, vit.Architecture(patch, embedding, 12, heads), dialects, source)


def _convnext(depths: tuple[int, int, int, int], channels: int, *, convolutions: bool = False) -> Definition:
    stages = (channels, 2 * channels, 4 * channels, 8 * channels)
    architecture = convnext.Architecture(depths, stages, convolutions)
    return Definition(convnext.ConvNeXt, architecture, (convnext.names,), "arXiv:2301.00808")


def _mixer(embedding: int, depth: int) -> Definition:
    return Definition(mixer.MlpMixer, mixer.Architecture(16, embedding, depth), (mixer.names,), "arXiv:2105.01601")


MODELS: dict[str, Definition] = {
    "scnn": Definition(scnn.ShallowCNN, scnn.Architecture(), (scnn.names,), "arXiv:1902.06148"),
    "alexnet": Definition(alexnet.AlexNet, alexnet.Architecture(), (alexnet.names,), "arXiv:1404.5997"),
    "vgg11": _vgg(1, 1, 2, 2, 2),
    "vgg16": _vgg(2, 2, 3, 3, 3),
    "vgg19": _vgg(2, 2, 4, 4, 4),
    "googlenet": Definition(googlenet.GoogLeNet, googlenet.Architecture(), (googlenet.names,), "arXiv:1409.4842"),
    "inception_v2": Definition(
        inception_v2.InceptionV2, inception_v2.Architecture(), (inception_v2.names,), "arXiv:1502.03167"
    ),
    "inception_v3": Definition(
        inception_v3.InceptionV3, inception_v3.Architecture(), (inception_v3.names,), "arXiv:1512.00567"
    ),
    "resnet18": _resnet(resnet.BasicBlock, (2, 2, 2, 2)),
    "resnet34": _resnet(resnet.BasicBlock, (3, 4, 6, 3)),
    "resnet50": _resnet(resnet.BottleneckBlock, (3, 4, 6, 3)),
    "resnet101": _resnet(resnet.BottleneckBlock, (3, 4, 23, 3)),
    "resnet152": _resnet(resnet.BottleneckBlock, (3, 8, 36, 3)),
    "seresnet50": _resnet(resnet.SqueezeBottleneckBlock, (3, 4, 6, 3), "arXiv:1709.01507"),
    "densenet121": _densenet((6, 12, 24, 16)),
    "densenet169": _densenet((6, 12, 32, 32)),
    "densenet201": _densenet((6, 12, 48, 32)),
    "efficientnet_b0": Definition(
        efficientnet.EfficientNet,
        efficientnet.B0,
        (efficientnet.torchvision_names, efficientnet.timm_names),
        "arXiv:1905.11946",
    ),
    "vit_tiny_patch16": _vit(16, 192, 3, "arXiv:2012.12877"),
    "vit_small_patch16": _vit(16, 384, 6, "arXiv:2012.12877"),
    "vit_base_patch16": _vit(16, 768, 12, "arXiv:2010.11929"),
    "vit_base_patch8": _vit(8, 768, 12, "arXiv:2010.11929"),
    "swin_tiny": Definition(
        swin.Swin,
        swin.Architecture(96, (2, 2, 6, 2), (3, 6, 12, 24), window=7, drop_path=0.2),
        (swin.torchvision_names, swin.timm_names, swin.original_names),
        "arXiv:2103.14030",
        swin.torchvision_buffers,
    ),
    "convnextv2_atto": _convnext((2, 2, 6, 2), 40, convolutions=True),
    "convnextv2_tiny": _convnext((3, 3, 9, 3), 96),
    "convnextv2_base": _convnext((3, 3, 27, 3), 128),
    "mlp_mixer_small_patch16": _mixer(512, 8),
    "mlp_mixer_base_patch16": _mixer(768, 12),
    "convmixer_768_32": Definition(
        convmixer.ConvMixer,
        convmixer.Architecture(patch=7, kernel=7, channels=768, depth=32),
        (convmixer.names,),
        "arXiv:2201.09792",
    ),
    "mobilevit_xxs": _mobilevit(mobilevit.XXS),
    "mobilevit_xs": _mobilevit(mobilevit.XS),
    "mobilevit_s": _mobilevit(mobilevit.S),
}


def list_models() -> list[str]:
    """Return the names of the networks in the order of the table."""
    return list(MODELS)


def create_model(
    name: str,
    *,
    num_classes: int,
    image_size: int = 224,
    in_channels: int = 3,
    dtype: DTypeLike = jnp.float32,
    settings: Settings = PUBLISHED,
    rngs: nnx.Rngs,
) -> ImageNetwork:
    """Make a network in train mode, with random initial weights; called on images (b, h, w, c) it returns an `Output`.

    Evaluate it through a view, which shares the weights:
    `nnx.view(model, use_running_average=True, raise_if_not_found=False)`.

    Args:
        name: one of `list_models()`.
        num_classes: outputs of the classifier.
        image_size: height and width of the images in pixels.
        in_channels: channels of an image.
        dtype: type of the computation, float32 or bfloat16; parameters and statistics are float32.
        settings: how the network differs from the published one.
        rngs: source of the initial weights.

    Raises:
        InputError: the name is unknown, the network does not take the image size, or a number or a setting is out of
            range or has no effect on this network.
    """
    if name not in MODELS:
        raise InputError(f"unknown model '{name}': choose one of {', '.join(MODELS)}.{nearest(name, MODELS)}")
    definition, keys = MODELS[name], Keys(rngs)
    signature = Signature(num_classes, image_size, in_channels, dtype)
    _check(name, signature, settings)
    network = definition.network(definition.architecture, signature, settings, rngs=keys)
    added_dropout = 0.0 if "dropout" in network.follows else settings.dropout or 0.0
    if settings.hidden is not None or added_dropout:
        network.head = Head(network.head, settings.hidden, added_dropout, dtype=wide(dtype), rngs=keys)
    rngs.params.count.set_value(rngs.params.count[...] + keys.drawn)
    return network


def describe_models() -> list[dict[str, Any]]:
    """Return a dict for each network at 1,000 classes: name, params, gmacs_224, feature_width and source.

    The sizes were measured by `mtsccd_jax.perf.model_size`: tracing every network takes half a minute.
    """
    sizes = json.loads(importlib.resources.files(__name__).joinpath("sizes.json").read_text(encoding="utf-8"))
    return [{"name": name, **sizes[name], "source": definition.source} for name, definition in MODELS.items()]


def _check(name: str, signature: Signature, settings: Settings) -> None:
    """Raise InputError for a number out of range, or a setting that the network of this name does not follow."""
    follows = MODELS[name].network.follows
    positive = {"num_classes": signature.num_classes, "in_channels": signature.in_channels, "width": settings.width}
    for key, value in positive.items():
        if not value > 0:
            raise InputError(f"{key} of model '{name}' must be positive, not {value}")
    if settings.hidden is not None and settings.hidden < 1:
        raise InputError(f"model.hidden={settings.hidden}: must be positive, or none for no hidden layer")
    for key, share in (("dropout", settings.dropout), ("drop_path", settings.drop_path)):
        if share is not None and not 0 <= share < 1:
            raise InputError(f"model.{key}={share}: must be a share of 0 or more and below 1, or none")
    if settings.features == "linear" and "features" not in follows:
        raise InputError(f"model.features=linear: of '{name}' no rectifier follows the features; leave it 'rectified'")
    if settings.drop_path is not None and "drop_path" not in follows:
        able = ", ".join(other for other in MODELS if "drop_path" in MODELS[other].network.follows)
        raise InputError(
            f"model.drop_path={settings.drop_path}: '{name}' has no blocks to skip; leave it none, or choose {able}"
        )
