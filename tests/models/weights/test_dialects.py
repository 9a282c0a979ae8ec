"""The files of torchvision and timm of every family load; networks that only look alike are refused."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import torch_reference
from flax import nnx
from peers import imported
from small_networks import abstract, evaluating

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS, Settings, create_model
from mtsccd_jax.models.vit import PositionEmbedding
from mtsccd_jax.models.weights.architecture import check_architecture, our_name
from mtsccd_jax.models.weights.files import WeightFile
from mtsccd_jax.models.weights.mapping import fit

# The smallest network of every family in each library that has it.
DIALECTS = [
    *(("alexnet", "torchvision", "alexnet"), ("vgg11", "torchvision", "vgg11"), ("vgg11", "timm", "vgg11")),
    *(("googlenet", "torchvision", "googlenet"), ("inception_v3", "torchvision", "inception_v3")),
    *(("inception_v3", "timm", "inception_v3"), ("resnet18", "torchvision", "resnet18")),
    *(("resnet18", "timm", "resnet18"), ("seresnet50", "timm", "seresnet50")),
    *(("densenet121", "torchvision", "densenet121"), ("densenet121", "timm", "densenet121")),
    *(("efficientnet_b0", "torchvision", "efficientnet_b0"), ("efficientnet_b0", "timm", "efficientnet_b0")),
    *(("vit_base_patch16", "torchvision", "vit_b_16"), ("vit_tiny_patch16", "timm", "vit_tiny_patch16_224")),
    *(("vit_tiny_patch16", "timm", "deit_tiny_patch16_224"), ("swin_tiny", "torchvision", "swin_t")),
    *(("swin_tiny", "timm", "swin_tiny_patch4_window7_224"), ("convnextv2_atto", "timm", "convnextv2_atto")),
    *(("mlp_mixer_small_patch16", "timm", "mixer_s16_224"), ("convmixer_768_32", "timm", "convmixer_768_32")),
    ("mobilevit_xxs", "timm", "mobilevit_xxs"),
]
OTHERS = [
    *(("vgg11", "torchvision", "vgg11_bn"), ("resnet18", "timm", "resnet18d"), ("resnet50", "timm", "resnet50_gn")),
    *(("vit_tiny_patch16", "timm", "deit_tiny_distilled_patch16_224"), ("resnet50", "torchvision", "resnext50_32x4d")),
    *(("vit_base_patch16", "timm", "vit_base_patch16_reg4_gap_256"), ("swin_tiny", "timm", "swinv2_tiny_window8_256")),
    ("vit_base_patch16", "timm", "vit_base_patch16_siglip_224"),
]


def stored(library: str, theirs: str) -> dict[str, np.ndarray]:
    """Return the names and shapes of a network as a state dict of ones, which take no memory."""
    package = imported(library)
    import torch

    plain = {"init_weights": False} if theirs in ("googlenet", "inception_v3") and library == "torchvision" else {}
    with torch.device("meta"):
        model = package.create_model(theirs) if library == "timm" else getattr(package.models, theirs)(**plain)
    return {name: np.broadcast_to(np.float32(1), tuple(value.shape)) for name, value in model.state_dict().items()}


@pytest.mark.parametrize(("ours", "library", "theirs"), DIALECTS)
def test_both_libraries_files_load(ours: str, library: str, theirs: str) -> None:
    model = abstract(ours, num_classes=1000, image_size=299 if ours == "inception_v3" else 224, width=1.0)
    fitted = fit(model, MODELS[ours].names, WeightFile("w", stored(library, theirs), ""))
    assert [note for note in fitted.notes if not note.startswith("auxiliary")] == []
    assert our_name(theirs) == ours


@pytest.mark.parametrize(("ours", "library", "theirs"), OTHERS)
def test_their_relatives_are_refused_in_one_line(ours: str, library: str, theirs: str) -> None:
    with pytest.raises(InputError, match=r"^w: weights of another network: \d+ .*$"):
        fit(
            abstract(ours, num_classes=1000, width=1.0),
            MODELS[ours].names,
            WeightFile("w", stored(library, theirs), ""),
        )
    assert our_name(theirs) is None


def small_vgg() -> object:
    timm = imported("timm")
    import torch

    with torch.device("meta"):
        model = timm.create_model("vgg11", num_classes=5)
    return torch_reference.rectified(torch_reference.narrowed(model, 0.125, 5))


def small_vit() -> object:
    return imported("torchvision").models.VisionTransformer(32, 16, 2, 3, 24, 96, num_classes=5)


@pytest.mark.parametrize(("name", "make"), [("vgg11", small_vgg), ("vit_tiny_patch16", small_vit)])
def test_the_second_dialect_gives_the_same_logits(monkeypatch, name: str, make) -> None:
    reference = make()
    torch_reference.randomize(reference, seed=0)
    if name == "vit_tiny_patch16":
        monkeypatch.setitem(
            MODELS, name, replace(MODELS[name], architecture=replace(MODELS[name].architecture, depth=2))
        )
    model = create_model(name, num_classes=5, image_size=32, settings=Settings(0.125), rngs=nnx.Rngs(0))
    fitted = fit(model, MODELS[name].names, WeightFile("w", torch_reference.arrays(reference), ""))
    variables = {path: node for path, node in nnx.iter_graph(model) if isinstance(node, nnx.Variable)}
    assert fitted.arrays.keys() == variables.keys()
    for path, value in fitted.arrays.items():
        variables[path].set_value(jax.numpy.asarray(value))
    image = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    ours = jax.jit(lambda model, image: model(image).logits)(evaluating(model), image)
    logits = reference.eval()(torch_reference.channels_first(image)).detach().numpy()
    assert torch_reference.relative_error(ours, logits) < 1e-4


@pytest.mark.parametrize(
    ("stated", "ours"),
    [
        *(("resnet50.a1_in1k", "resnet50"), ("timm/resnet50.a1_in1k", "resnet50"), ("tv_resnet50", "resnet50")),
        *(("vit_small_patch16_224_dino", "vit_small_patch16"), ("vit_base_patch16_224_in21k", "vit_base_patch16")),
        *(("resnetblur50", None), ("resnetaa50", None), ("tf_efficientnet_b0", None), ("resnet50_gn", None)),
    ],
)
def test_a_stated_architecture_is_compared_with_the_one_here(stated: str, ours: str | None) -> None:
    weights = WeightFile("hf:acme/net", {}, "", architecture=stated)
    if ours:
        assert check_architecture(ours, weights) == []
    with pytest.raises(
        InputError, match=rf"hf:acme/net: weights of another network, {stated}, and not of the resnet34"
    ) as caught:
        check_architecture("resnet34", weights)
    assert (f"set model.name={ours}" in str(caught.value)) == (ours is not None)


def test_what_a_bare_file_does_not_say_is_said() -> None:
    (note,) = check_architecture("resnet50", WeightFile("w.pth", {}, ""))
    assert "padding, pooling or activation alone cannot be told apart" in note


TABLE = np.random.default_rng(0).normal(size=(1, 1 + 14 * 14, 8)).astype(np.float32)


def test_a_position_table_without_a_class_entry_is_resized_as_one_with_zeros_there() -> None:
    without, zeroed = TABLE[:, 1:], TABLE.copy()
    zeroed[:, 0] = 0
    for side in (7, 14, 19):
        expected = zeroed if side == 14 else PositionEmbedding.resampled(zeroed, (1, 1 + side * side, 8))
        np.testing.assert_array_equal(PositionEmbedding.resampled(without, (1, 1 + side * side, 8)), expected)


@pytest.mark.parametrize(
    "shape",
    [(1, 2 + 196, 8), (1, 5 + 196, 8), (1, 1 + 8 * 24, 8), (1, 8 * 24, 8), (1, 1 + 196, 16)],
    ids=["distilled", "registers", "not square", "not square, no class", "wider"],
)
def test_another_position_table_is_refused(shape: tuple[int, ...]) -> None:
    assert PositionEmbedding.resampled(np.zeros(shape, np.float32), (1, 1 + 49, 8)) is None
