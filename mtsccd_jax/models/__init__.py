"""The networks: one literal table, and one function that makes any of them."""

import importlib.resources
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
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
    googlenet,
    inception_v2,
    inception_v3,
    mixer,
    mobilevit,
    resnet,
    scnn,
    swin,
    vgg,
    vit,
)
from mtsccd_jax.models.layers.blocks import AUXILIARY, BatchNorm, Names, Output, Settings, wide
from mtsccd_jax.models.layers.head import Head
from mtsccd_jax.models.layers.initializers import Keys
from mtsccd_jax.perf import flops

__all__ = ["MODELS", "BatchNorm", "Entry", "Output", "create_model", "describe_models", "list_models", "model_size"]


@dataclass(frozen=True)
class Entry:
    """One network.

    Attributes:
        network: its class, called with the architecture, the `Settings` and `rngs`.
        architecture: what tells it from its relatives.
        names: what published weights call its parts, one function a dialect; the first is the one that is exported.
        source: where it was published.
    """

    network: Callable[..., nnx.Module]
    architecture: Any
    names: tuple[Callable[[Any], Names], ...]
    source: str


def _resnet(block: type, depths: tuple[int, int, int, int], source: str = "arXiv:1512.03385") -> Entry:
    return Entry(resnet.ResNet, resnet.Architecture(block, depths), (resnet.names,), source)


def _densenet(depths: tuple[int, int, int, int]) -> Entry:
    dialects = (densenet.names, densenet.file_names)
    return Entry(densenet.DenseNet, densenet.Architecture(depths), dialects, "arXiv:1608.06993")


def _mobilevit(architecture: mobilevit.Architecture) -> Entry:
    return Entry(mobilevit.MobileVit, architecture, (mobilevit.names,), "arXiv:2110.02178")


def _vgg(*depths: int) -> Entry:
    return Entry(vgg.VGG, vgg.Architecture(depths), (vgg.names,), "arXiv:1409.1556")


def _vit(patch: int, embedding: int, heads: int, source: str) -> Entry:
    return Entry(vit.VisionTransformer, vit.Architecture(patch, embedding, 12, heads), (vit.names,), source)


def _convnext(depths: tuple[int, int, int, int], channels: int, *, convolutions: bool = False) -> Entry:
    stages = (channels, 2 * channels, 4 * channels, 8 * channels)
    architecture = convnext.Architecture(depths, stages, convolutions)
    return Entry(convnext.ConvNeXt, architecture, (convnext.names,), "arXiv:2301.00808")


def _mixer(embedding: int, depth: int) -> Entry:
    return Entry(mixer.MlpMixer, mixer.Architecture(16, embedding, depth), (mixer.names,), "arXiv:2105.01601")


MODELS: dict[str, Entry] = {
    "scnn": Entry(scnn.ShallowCNN, scnn.Architecture(), (scnn.names,), "arXiv:1902.06148"),
    "alexnet": Entry(alexnet.AlexNet, alexnet.Architecture(), (alexnet.names,), "arXiv:1404.5997"),
    "vgg11": _vgg(1, 1, 2, 2, 2),
    "vgg16": _vgg(2, 2, 3, 3, 3),
    "vgg19": _vgg(2, 2, 4, 4, 4),
    "googlenet": Entry(googlenet.GoogLeNet, googlenet.Architecture(), (googlenet.names,), "arXiv:1409.4842"),
    "inception_v2": Entry(
        inception_v2.InceptionV2, inception_v2.Architecture(), (inception_v2.names,), "arXiv:1502.03167"
    ),
    "inception_v3": Entry(
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
    "efficientnet_b0": Entry(
        efficientnet.EfficientNet,
        efficientnet.B0,
        (efficientnet.torchvision_names, efficientnet.timm_names),
        "arXiv:1905.11946",
    ),
    "vit_tiny_patch16": _vit(16, 192, 3, "arXiv:2012.12877"),
    "vit_small_patch16": _vit(16, 384, 6, "arXiv:2012.12877"),
    "vit_base_patch16": _vit(16, 768, 12, "arXiv:2010.11929"),
    "vit_base_patch8": _vit(8, 768, 12, "arXiv:2010.11929"),
    "swin_tiny": Entry(
        swin.Swin,
        swin.Architecture(96, (2, 2, 6, 2), (3, 6, 12, 24), window=7, drop_path=0.2),
        (swin.torchvision_names, swin.timm_names, swin.original_names),
        "arXiv:2103.14030",
    ),
    "convnextv2_atto": _convnext((2, 2, 6, 2), 40, convolutions=True),
    "convnextv2_tiny": _convnext((3, 3, 9, 3), 96),
    "convnextv2_base": _convnext((3, 3, 27, 3), 128),
    "mlp_mixer_small_patch16": _mixer(512, 8),
    "mlp_mixer_base_patch16": _mixer(768, 12),
    "convmixer_768_32": Entry(
        convmixer.ConvMixer,
        convmixer.Architecture(patch=7, kernel=7, channels=768, depth=32),
        (convmixer.names,),
        "arXiv:2201.09792",
    ),
    "mobilevit_xxs": _mobilevit(mobilevit.XXS),
    "mobilevit_xs": _mobilevit(mobilevit.XS),
    "mobilevit_s": _mobilevit(mobilevit.S),
}

# Families that are published with dropout before their classifiers, and those of blocks that an example can skip.
OWN_DROPOUT = (alexnet.AlexNet, efficientnet.EfficientNet, googlenet.GoogLeNet, inception_v3.InceptionV3, vgg.VGG)
STOCHASTIC_DEPTH = (
    convnext.ConvNeXt,
    efficientnet.EfficientNet,
    mixer.MlpMixer,
    mobilevit.MobileVit,
    resnet.ResNet,
    swin.Swin,
    vit.VisionTransformer,
)


def list_models() -> list[str]:
    """The names that `create_model` knows, in the order of the table."""
    return list(MODELS)


def create_model(
    name: str,
    *,
    num_classes: int,
    image_size: int = 224,
    in_channels: int = 3,
    width: float = 1.0,
    dtype: DTypeLike = jnp.float32,
    rectified_features: bool = True,
    hidden: int | None = None,
    dropout: float | None = None,
    drop_path: float | None = None,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """A new network in train mode; called on images (b, h, w, c) it returns an `Output`.

    Evaluate through a view, which shares the weights:
    `nnx.view(model, use_running_average=True, raise_if_not_found=False)`.

    Args:
        name: one of `list_models()`.
        num_classes: width of the classifier.
        image_size: side of the images in pixels. A ViT learns a position per patch of it, a ResNet takes any from 32.
        in_channels: channels of an image.
        width: factor on the number of channels.
        dtype: type of the computation, float32 or bfloat16; parameters and statistics are float32.
        rectified_features: of AlexNet and VGG, whether `features` are taken behind the rectifier or before it.
        hidden: outputs of a new rectified layer between what the classifier sees and a new classifier; both are part
            of `head`, and `features` stay those of the network. None for the network as it was published.
        dropout: share of what the classifier (or the hidden layer) sees that is zeroed in training, in place of the
            network's own dropout where it has any. None for the network as it was published.
        drop_path: share of the examples that skip the last block in training (stochastic depth, arXiv:1603.09382), by
            block as timm divides it. None for the network as it was published.
        rngs: source of the initial weights.

    Raises:
        InputError: unknown name, a size the network does not take, a number that is not positive, a share that is not
            in [0, 1), a network whose features no rectifier follows and `rectified_features` False, or one of no blocks
            to skip and `drop_path`.
    """
    if name not in MODELS:
        raise InputError(f"unknown model '{name}': choose one of {', '.join(MODELS)}.{nearest(name, MODELS)}")
    for key, value in (("num_classes", num_classes), ("in_channels", in_channels), ("width", width)):
        if not value > 0:
            raise InputError(f"{key} of model '{name}' must be positive, not {value}")
    if hidden is not None and hidden < 1:
        raise InputError(f"model.hidden={hidden}: must be positive, or none for no hidden layer")
    for key, share in (("dropout", dropout), ("drop_path", drop_path)):
        if share is not None and not 0 <= share < 1:
            raise InputError(f"model.{key}={share}: must be a share of 0 or more and below 1, or none")
    entry, keys = MODELS[name], Keys(rngs)
    if not rectified_features and entry.network not in (alexnet.AlexNet, vgg.VGG):
        raise InputError(f"model.features=linear: of '{name}' no rectifier follows the features; leave it 'rectified'")
    if drop_path is not None and entry.network not in STOCHASTIC_DEPTH:
        able = ", ".join(other for other in MODELS if MODELS[other].network in STOCHASTIC_DEPTH)
        raise InputError(
            f"model.drop_path={drop_path}: '{name}' has no blocks to skip; leave it none, or choose {able}"
        )
    settings = Settings(
        num_classes, image_size, in_channels, width, dtype, rectified_features, dropout=dropout, drop_path=drop_path
    )
    network: Any = entry.network(entry.architecture, settings, rngs=keys)
    added_dropout = 0.0 if entry.network in OWN_DROPOUT else dropout or 0.0
    if hidden is not None or added_dropout:
        network.head = Head(network.head, hidden, added_dropout, dtype=wide(dtype), rngs=keys)
    rngs.params.count.set_value(rngs.params.count[...] + keys.drawn)
    return network


def describe_models() -> list[dict[str, Any]]:
    """One dict per network at 1,000 classes: name, params, gmacs_224, feature_width, source.

    The sizes are those that `model_size` once measured: tracing every network takes half a minute.
    """
    sizes = json.loads(importlib.resources.files(__name__).joinpath("sizes.json").read_text(encoding="utf-8"))
    return [{"name": name, **sizes[name], "source": entry.source} for name, entry in MODELS.items()]


def model_size(name: str) -> dict[str, Any]:
    """params, gmacs_224 and feature_width of a network at 1,000 classes, of shapes alone.

    Side classifiers, which only train, are not counted.
    """
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, rngs=nnx.Rngs(0)))
    parameters = nnx.to_flat_state(nnx.state(model, nnx.Param))
    params = sum(leaf.size for path, leaf in parameters if path[0] != AUXILIARY)
    evaluated = nnx.view(model, use_running_average=True, raise_if_not_found=False)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    program, output = jax.make_jaxpr(lambda model, image: model(image), return_shape=True)(evaluated, image)
    return {
        "params": params,
        "gmacs_224": flops.jaxpr_macs(program) / 1e9,
        "feature_width": output.features.shape[-1],
    }
