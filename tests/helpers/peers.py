"""The networks in torch, from torchvision, from timm or written after their papers, and small variants of them."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import pytest
import torch_reference
from torch_reference import narrowed, rectified

from mtsccd_jax.models import efficientnet, swin
from mtsccd_jax.models.efficientnet import Stage
from mtsccd_jax.models.mobilevit import Stage as MobileStage
from mtsccd_jax.models.weights.mapping import Dialect


def imported(package: str) -> ModuleType:
    """Import torchvision or timm, or skip the test."""
    pytest.importorskip("torch", reason="the reference is a network in torch")
    try:
        return torch_reference.import_timm() if package == "timm" else torch_reference.import_torchvision()
    except ModuleNotFoundError:
        pytest.skip(f"{package}, the reference, is not installed")


def last_map(part: str) -> Callable[[dict[str, Any]], Any]:
    """Return a function that picks the output of a module, channels last."""
    return lambda seen: seen[part].permute(0, 2, 3, 1)


def tokens(others: int = 0) -> Callable[[dict[str, Any]], Any]:
    """Return a function that makes a map of the normalised tokens, without the first `others`."""

    def pick(seen: dict[str, Any]) -> Any:
        b, n, d = seen["norm"][:, others:].shape
        return seen["norm"][:, others:].reshape(b, math.isqrt(n), math.isqrt(n), d)

    return pick


@dataclass(frozen=True)
class Peer:
    """A network in torch, without dropout."""

    make: Callable[..., Any]  # given num_classes, image_size and other arguments of its package
    features: str  # the module whose output is the features; with ":in" its input
    feature_map: Callable[[dict[str, Any]], Any]  # picks the last map (b, h, w, c) from the outputs by module
    prepare: Callable[[Any], Any] = lambda model: model  # draws initial values that make all parts count
    names: Dialect | None = None  # the first of the table
    side_weight: float = 0.0  # of the loss of a side classifier

    def model(self, num_classes: int = 10, image_size: int = 224, **given: Any) -> Any:
        """Return the network with its initial values."""
        return self.prepare(self.make(num_classes, image_size, **given))


def from_torchvision(name: str, **fixed: Any) -> Callable[..., Any]:
    """Return a maker of a network of torchvision."""
    return lambda num_classes, image_size, **given: getattr(imported("torchvision").models, name)(
        num_classes=num_classes, **fixed, **given
    )


def from_timm(name: str, *, sized: bool = False, **fixed: Any) -> Callable[..., Any]:
    """Return a maker of a network of timm, for images of one size where `sized`."""

    def make(num_classes: int, image_size: int, **given: Any) -> Any:
        size = {"img_size": image_size} if sized else {}
        return imported("timm").create_model(name, num_classes=num_classes, **size, **fixed, **given)

    return make


def inception_v3(num_classes: int, image_size: int) -> Any:
    """Return torchvision's Inception v3, with the side classifier from 299 pixels on."""
    models = imported("torchvision").models
    return models.Inception3(num_classes, aux_logits=image_size >= 299, init_weights=False, dropout=0.0)


def swin_tiny(num_classes: int, image_size: int) -> Any:
    """Return torchvision's Swin-T, its arguments written out."""
    return imported("torchvision").models.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=[7, 7],
        stochastic_depth_prob=0.0,
        num_classes=num_classes,
    )


def with_offsets_that_count(model: Any) -> Any:
    """Draw relative position tables as large as the products they are added to."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("relative_position_bias_table"):
                parameter.normal_(0, 1, generator=generator)
    return model


def shallow_cnn(num_classes: int, image_size: int, in_chans: int = 3) -> Any:
    """Return BigEarthNet's shallow CNN after its paper and our additions."""
    torch = pytest.importorskip("torch", reason="the reference is written in torch")

    class ShallowCNN(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = torch.nn.Conv2d(in_chans, 32, 5, padding="same")
            self.conv2 = torch.nn.Conv2d(32, 32, 5, padding="same")
            self.conv3 = torch.nn.Conv2d(32, 64, 3, padding="same")
            self.pool = torch.nn.MaxPool2d(2)
            self.relu = torch.nn.ReLU()
            self.fc1 = torch.nn.Linear(64 * (image_size // 8) ** 2, 128)
            self.fc2 = torch.nn.Linear(128, num_classes)

        def forward(self, x: Any) -> Any:
            for convolution in (self.conv1, self.conv2, self.conv3):
                x = self.pool(self.relu(convolution(x)))
            return self.fc2(self.relu(self.fc1(x.flatten(1))))

    return ShallowCNN()


# Figure 5 of arXiv:1502.03167, by the last part of the port's names: channels of every convolution.
FIGURE_5 = {
    "3a": {"1x1": 64, "3x3_reduce": 64, "3x3": 64, "double_3x3_reduce": 64, "double_3x3": 96, "pool_proj": 32},
    "3b": {"1x1": 64, "3x3_reduce": 64, "3x3": 96, "double_3x3_reduce": 64, "double_3x3": 96, "pool_proj": 64},
    "3c": {"3x3_reduce": 128, "3x3": 160, "double_3x3_reduce": 64, "double_3x3": 96},
    "4a": {"1x1": 224, "3x3_reduce": 64, "3x3": 96, "double_3x3_reduce": 96, "double_3x3": 128, "pool_proj": 128},
    "4b": {"1x1": 192, "3x3_reduce": 96, "3x3": 128, "double_3x3_reduce": 96, "double_3x3": 128, "pool_proj": 128},
    "4c": {"1x1": 160, "3x3_reduce": 128, "3x3": 160, "double_3x3_reduce": 128, "double_3x3": 160, "pool_proj": 128},
    "4d": {"1x1": 96, "3x3_reduce": 128, "3x3": 192, "double_3x3_reduce": 160, "double_3x3": 192, "pool_proj": 128},
    "4e": {"3x3_reduce": 128, "3x3": 192, "double_3x3_reduce": 192, "double_3x3": 256},
    "5a": {"1x1": 352, "3x3_reduce": 192, "3x3": 320, "double_3x3_reduce": 160, "double_3x3": 224, "pool_proj": 128},
    "5b": {"1x1": 352, "3x3_reduce": 192, "3x3": 320, "double_3x3_reduce": 192, "double_3x3": 224, "pool_proj": 128},
}


def inception_v2(num_classes: int, image_size: int, modules: Iterable[str] = FIGURE_5) -> Any:
    """Return Inception v2 with the names of its port."""
    torch = pytest.importorskip("torch", reason="the reference is written in torch")
    functional = torch.nn.functional

    class InceptionV2(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add("conv1_7x7_s2", 3, 64, 7, 2)
            self.add("conv2_3x3_reduce", 64, 64, 1)
            self.add("conv2_3x3", 64, 192, 3)
            channels = 192
            for name in modules:
                row = FIGURE_5[name]
                prefix, stride = f"inception_{name}", 1 if "1x1" in row else 2
                if stride == 1:
                    self.add(f"{prefix}_1x1", channels, row["1x1"], 1)
                    self.add(f"{prefix}_pool_proj", channels, row["pool_proj"], 1)
                self.add(f"{prefix}_3x3_reduce", channels, row["3x3_reduce"], 1)
                self.add(f"{prefix}_3x3", row["3x3_reduce"], row["3x3"], 3, stride)
                self.add(f"{prefix}_double_3x3_reduce", channels, row["double_3x3_reduce"], 1)
                self.add(f"{prefix}_double_3x3_1", row["double_3x3_reduce"], row["double_3x3"], 3)
                self.add(f"{prefix}_double_3x3_2", row["double_3x3"], row["double_3x3"], 3, stride)
                last = row["pool_proj"] if stride == 1 else channels
                channels = row.get("1x1", 0) + row["3x3"] + row["double_3x3"] + last
            self.map = torch.nn.Identity()
            self.last_linear = torch.nn.Linear(channels, num_classes)

        def add(self, name: str, in_channels: int, channels: int, size: int, stride: int = 1) -> None:
            self.add_module(name, torch.nn.Conv2d(in_channels, channels, size, stride, size // 2))
            self.add_module(f"{name}_bn", torch.nn.BatchNorm2d(channels))

        def conv(self, name: str, x: Any) -> Any:
            return functional.relu(getattr(self, f"{name}_bn")(getattr(self, name)(x)))

        def inception(self, prefix: str, x: Any) -> Any:
            three = self.conv(f"{prefix}_3x3", self.conv(f"{prefix}_3x3_reduce", x))
            double = self.conv(f"{prefix}_double_3x3_1", self.conv(f"{prefix}_double_3x3_reduce", x))
            double = self.conv(f"{prefix}_double_3x3_2", double)
            if prefix.endswith(("3c", "4e")):
                # Where a side is odd, one window more than the port has, as in the convolutions beside it.
                x = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), value=-torch.inf)
                return torch.cat([three, double, functional.max_pool2d(x, 3, 2, ceil_mode=True)], 1)
            pool = functional.max_pool2d if prefix.endswith("5b") else functional.avg_pool2d
            pooled = self.conv(f"{prefix}_pool_proj", pool(x, 3, 1, 1))
            return torch.cat([self.conv(f"{prefix}_1x1", x), three, double, pooled], 1)

        def forward(self, x: Any) -> Any:
            x = functional.max_pool2d(self.conv("conv1_7x7_s2", x), 3, 2, ceil_mode=True)
            x = self.conv("conv2_3x3", self.conv("conv2_3x3_reduce", x))
            x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
            for name in modules:
                x = self.inception(f"inception_{name}", x)
            return self.last_linear(self.map(x).mean((2, 3)))

    return InceptionV2()


def alexnet_like(name: str, features: str, **fixed: Any) -> Peer:
    """Return an AlexNet or VGG; its features are behind the rectifier of the first fully connected layer."""
    return Peer(from_torchvision(name, dropout=0.0, **fixed), features, last_map("features"), rectified)


def densenet_norm(seen: dict[str, Any]) -> Any:
    """Return the rectified output of the last normalisation, its channels last."""
    return seen["features"].relu().permute(0, 2, 3, 1)


def timm_peer(name: str, timm_name: str) -> Peer:
    """Return a network of timm, with the parts that its family has there."""
    if name.startswith("vit"):
        return Peer(from_timm(timm_name, sized=True), "head:in", tokens(others=1))
    if name.startswith("mlp_mixer"):
        return Peer(from_timm(timm_name, sized=True), "head:in", tokens())
    if name.startswith("mobilevit"):
        return Peer(from_timm(timm_name, zero_init_last=False), "head.global_pool", last_map("final_conv"))
    if name.startswith("convnext"):
        return Peer(from_timm(timm_name), "head.fc:in", last_map("stages"))
    return Peer(from_timm(timm_name, zero_init_last=False), "fc:in", last_map("layer4"))


TIMM_NAMES = {
    **{f"vit_{size}": f"vit_{size}_224" for size in ("tiny_patch16", "small_patch16", "base_patch16", "base_patch8")},
    **{name: name for name in ("seresnet50", "convnextv2_atto", "convnextv2_tiny", "convnextv2_base")},
    **{name: name for name in ("mobilevit_xxs", "mobilevit_xs", "mobilevit_s")},
    **{f"{name}@timm": name for name in ("resnet18", "resnet50")},
    "mlp_mixer_small_patch16": "mixer_s16_224",
    "mlp_mixer_base_patch16": "mixer_b16_224",
}

# By our name; "NAME@timm" where timm has a network of torchvision's, too.
PEERS: dict[str, Peer] = {
    "scnn": Peer(shallow_cnn, "relu", last_map("pool"), rectified),
    "alexnet": alexnet_like("alexnet", "classifier.2"),
    **{name: alexnet_like(name, "classifier.1", init_weights=False) for name in ("vgg11", "vgg16", "vgg19")},
    "googlenet": Peer(
        from_torchvision("GoogLeNet", init_weights=False, dropout=0.0, dropout_aux=0.0),
        "fc:in",
        last_map("inception5b"),
        rectified,
        side_weight=0.3,
    ),
    "inception_v2": Peer(inception_v2, "last_linear:in", last_map("map"), rectified),
    "inception_v3": Peer(inception_v3, "fc:in", last_map("Mixed_7c"), rectified, side_weight=0.4),
    **{
        name: Peer(from_torchvision(name), "fc:in", last_map("layer4"))
        for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    },
    **{
        name: Peer(from_torchvision(name), "classifier:in", densenet_norm)
        for name in ("densenet121", "densenet169", "densenet201")
    },
    "efficientnet_b0": Peer(
        from_torchvision("efficientnet_b0", dropout=0.0, stochastic_depth_prob=0.0),
        "classifier.1:in",
        last_map("features"),
    ),
    "efficientnet_b0@timm": Peer(
        from_timm("efficientnet_b0"), "classifier:in", last_map("bn2"), names=efficientnet.timm_names
    ),
    "swin_tiny": Peer(swin_tiny, "head:in", lambda seen: seen["norm"], with_offsets_that_count),
    "swin_tiny@timm": Peer(
        from_timm("swin_tiny_patch4_window7_224"),
        "head.fc:in",
        lambda seen: seen["norm"],
        with_offsets_that_count,
        swin.timm_names,
    ),
    "convmixer_768_32": Peer(from_timm("convmixer_768_32"), "head:in", last_map("blocks")),
    **{name: timm_peer(name, timm_name) for name, timm_name in TIMM_NAMES.items()},
}


class Variant(NamedTuple):
    """A network with fewer layers or channels, quick to compile, on both sides."""

    make: Callable[..., Any]  # in torch, given the image size and other arguments of its package
    architecture: Mapping[str, Any] = MappingProxyType({})  # replaces fields of ours
    width: float = 1.0  # ours


def narrow(name: str) -> Variant:
    """Return a network with an eighth of the channels."""
    return Variant(lambda size: rectified(narrowed(PEERS[name].model(10), 0.125, 10)), width=0.125)


def shallow_resnet(block: str, **fixed: Any) -> Variant:
    """Return a ResNet of timm with one block a stage, none of which begins at zero."""
    depths = (1, 1, 1, 1)

    def make(size: int, **given: Any) -> Any:
        module = imported("timm").models.resnet
        return module.ResNet(getattr(module, block), depths, num_classes=10, zero_init_last=False, **fixed, **given)

    return Variant(make, {"depths": depths})


def shallow_efficientnet(size: int) -> Any:
    """Return the EfficientNet of `EFFICIENT_STAGES` in torchvision."""
    module = imported("torchvision").models.efficientnet
    settings, in_channels = [], 16
    for expansion, side, stride, channels, blocks in EFFICIENT_STAGES:
        settings.append(module.MBConvConfig(expansion, side, stride, in_channels, channels, blocks))
        in_channels = channels
    return module.EfficientNet(settings, dropout=0.0, stochastic_depth_prob=0.0, num_classes=10, last_channel=64)


def shallow_convmixer(size: int) -> Any:
    """Return a ConvMixer of timm with three blocks of 24 channels."""
    module = imported("timm").models.convmixer
    import torch

    return module.ConvMixer(24, 3, kernel_size=7, patch_size=7, num_classes=10, act_layer=torch.nn.ReLU)


def shallow_mobilevit(size: int, **given: Any) -> Any:
    """Return the MobileViT of `MOBILE_STAGES` in timm, none of whose blocks begins as the identity."""
    timm = imported("timm")
    module = timm.models.mobilevit
    blocks = [module._inverted_residual_block(d=2, c=16, s=1, br=2.0)]
    blocks += [
        module._mobilevit_block(d=1, c=c, s=2, transformer_dim=32, transformer_depth=depth, patch_size=2, br=2.0)
        for c, depth in ((24, 1), (32, 2))
    ]
    config = replace(module.model_cfgs["mobilevit_s"], blocks=tuple(blocks), num_features=48)
    return timm.models.byobnet.ByobNet(config, num_classes=10, zero_init_last=False, **given)


# Every kind of block: without expansion, with a stride, with an identity beside it, both kernels.
EFFICIENT_STAGES = (Stage(1, 3, 1, 8, 1), Stage(6, 3, 2, 16, 2), Stage(6, 5, 2, 24, 2))
MOBILE_STAGES = (MobileStage(16, 2, 1), MobileStage(24, 1, 2, 32, 1), MobileStage(32, 1, 2, 32, 2))
DENSE_DEPTHS = (2, 3, 2, 2)

VARIANTS: dict[str, Variant] = {
    **{name: narrow(name) for name in ("alexnet", "vgg11", "vgg16", "vgg19")},
    "resnet18": shallow_resnet("BasicBlock"),
    "seresnet50": shallow_resnet("Bottleneck", block_args={"attn_layer": "se"}),
    "densenet121": Variant(
        lambda size: imported("torchvision").models.DenseNet(
            growth_rate=8, block_config=DENSE_DEPTHS, num_init_features=16, num_classes=10
        ),
        {"depths": DENSE_DEPTHS},
        0.25,
    ),
    "efficientnet_b0": Variant(shallow_efficientnet, {"stem": 16, "stages": EFFICIENT_STAGES, "last": 64}),
    "vit_tiny_patch16": Variant(
        lambda size, **given: PEERS["vit_tiny_patch16"].model(10, size, embed_dim=24, depth=3, **given),
        {"depth": 3},
        1 / 8,
    ),
    "mlp_mixer_small_patch16": Variant(
        lambda size, **given: imported("timm").models.mlp_mixer.MlpMixer(
            num_classes=10, img_size=size, patch_size=16, embed_dim=64, num_blocks=2, **given
        ),
        {"embedding": 64, "depth": 2},
    ),
    "convnextv2_atto": Variant(
        lambda size, **given: PEERS["convnextv2_atto"].model(10, depths=(1, 1, 1, 1), **given),
        {"depths": (1, 1, 1, 1)},
    ),
    "convmixer_768_32": Variant(shallow_convmixer, {"channels": 24, "depth": 3}),
    "mobilevit_s": Variant(shallow_mobilevit, {"stages": MOBILE_STAGES, "last": 48, "expansion": 2, "stem": 16}),
}
