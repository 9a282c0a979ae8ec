"""Blocks that examples skip in training, against timm: at which rates, and what becomes of those that skip."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS, STOCHASTIC_DEPTH, create_model
from mtsccd_jax.models.layers.blocks import Dropout, drop_path_rates
from mtsccd_jax.models.mobilevit import Architecture, Stage

RATE = 0.5


def timm_model(name: str, **arguments: Any) -> Any:
    """A network of timm of which examples skip blocks, or skip."""
    pytest.importorskip("torch", reason="the reference is timm in torch")
    try:
        return torch_reference.import_timm().create_model(name, num_classes=10, **arguments)
    except ModuleNotFoundError:
        pytest.skip("timm, the reference, is not installed")


def drops(name: str, **arguments: object) -> list[Dropout]:
    """The stochastic depth of a small network."""
    settings = {"num_classes": 5, "image_size": 64, "width": 0.125} | arguments
    model = nnx.eval_shape(lambda: create_model(name, **settings, rngs=nnx.Rngs(0)))
    found = [node for _, node in nnx.iter_graph(model) if isinstance(node, Dropout)]
    return [drop for drop in found if drop.whole_example]


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A network of timm with a few blocks, half of the examples skipping the last; ours of that name is then the same.

    Given "mobilevit_s" and so on; "mlp_mixer_small_patch16" and the ViT are for 32 pixels.
    """
    pytest.importorskip("torch", reason="the reference is timm in torch")
    try:
        timm = torch_reference.import_timm()
    except ModuleNotFoundError:
        pytest.skip("timm, the reference, is not installed")

    def make(name: str) -> Any:
        given = {"num_classes": 10, "drop_path_rate": RATE}
        if name == "vit_tiny_patch16":
            architecture = replace(MODELS[name].architecture, embedding=24, depth=3)
            reference = timm.create_model("vit_tiny_patch16_224", img_size=32, embed_dim=24, depth=3, **given)
        elif name == "mlp_mixer_small_patch16":
            architecture = replace(MODELS[name].architecture, embedding=64, depth=2)
            reference = timm.models.mlp_mixer.MlpMixer(img_size=32, patch_size=16, embed_dim=64, num_blocks=2, **given)
        elif name == "convnextv2_atto":
            architecture = replace(MODELS[name].architecture, depths=(1, 1, 1, 1))
            reference = timm.create_model(name, depths=(1, 1, 1, 1), **given)
        elif name == "mobilevit_s":
            stages = (Stage(16, 2, 1), Stage(24, 1, 2, 32, 1), Stage(32, 1, 2, 32, 2))
            architecture = Architecture(stages, last=48, expansion=2, stem=16)
            module = timm.models.mobilevit
            blocks = [module._inverted_residual_block(d=2, c=16, s=1, br=2.0)]
            blocks += [
                module._mobilevit_block(
                    d=1, c=c, s=2, transformer_dim=32, transformer_depth=depth, patch_size=2, br=2.0
                )
                for c, depth in ((24, 1), (32, 2))
            ]
            config = replace(module.model_cfgs[name], blocks=tuple(blocks), num_features=48)
            reference = timm.models.byobnet.ByobNet(config, zero_init_last=False, **given)
        else:
            block = {"resnet18": timm.models.resnet.BasicBlock, "seresnet50": timm.models.resnet.Bottleneck}[name]
            attention = {"block_args": {"attn_layer": "se"}} if name == "seresnet50" else {}
            architecture = replace(MODELS[name].architecture, depths=(1, 1, 1, 1))
            reference = timm.models.resnet.ResNet(block, (1, 1, 1, 1), zero_init_last=False, **attention, **given)
        monkeypatch.setitem(MODELS, name, replace(MODELS[name], architecture=architecture))
        return reference

    return make


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 64),
        ("vit_tiny_patch16", 32),
        pytest.param("mobilevit_s", 32, marks=pytest.mark.parity),
        pytest.param("seresnet50", 64, marks=pytest.mark.parity),
        pytest.param("convnextv2_atto", 64, marks=pytest.mark.parity),
        pytest.param("mlp_mixer_small_patch16", 32, marks=pytest.mark.parity),
    ],
)
def test_examples_skip_blocks_as_in_timm(shallow: Callable[[str], Any], name: str, size: int) -> None:
    torch_reference.check_stochastic_depth(name, shallow(name), size, RATE)


@pytest.mark.parametrize(
    ("name", "timm_name"),
    [
        ("resnet50", "resnet50"),
        ("vit_base_patch8", "vit_base_patch8_224"),
        ("convnextv2_base", "convnextv2_base"),
        ("mobilevit_s", "mobilevit_s"),
        ("mlp_mixer_base_patch16", "mixer_b16_224"),
    ],
)
def test_rates_of_published_sizes_are_those_of_timm(name: str, timm_name: str) -> None:
    torch = pytest.importorskip("torch", reason="the reference is timm in torch")
    with torch.device("meta"):
        reference = timm_model(timm_name, drop_path_rate=0.15)
    paths = [
        (module.drop_prob, reference.get_submodule(part.rpartition(".")[0]))
        for part, module in reference.named_modules()
        if type(module).__name__ == "DropPath"
    ]
    expected = [rate for rate, block in paths if getattr(block, "shortcut", block) is not None]
    # The two branches of a mixer's block share a module there.
    expected *= 2 if "mixer" in name else 1
    ours = sorted(drop.rate for drop in drops(name, drop_path=0.15) if drop.rate > 0)
    np.testing.assert_allclose(ours, sorted(expected), atol=1e-7)


@pytest.mark.parametrize("name", ["swin_tiny", "efficientnet_b0"])
def test_a_rate_takes_the_place_of_the_published_one(name: str) -> None:
    published, asked = ([drop.rate for drop in drops(name, **given)] for given in ({}, {"drop_path": 0.1}))
    assert max(published) > 0.15
    np.testing.assert_allclose(asked, np.array(published) / 2, rtol=1e-12)
    assert not any(drop.rate for drop in drops(name, drop_path=0.0))


@pytest.mark.parametrize("blocks", [1, 2, 16])
def test_rates_grow_on_a_line(blocks: int) -> None:
    np.testing.assert_allclose(drop_path_rates(0.15, blocks), np.linspace(0, 0.15, blocks), atol=1e-12)
    assert drop_path_rates(None, blocks) == [0] * blocks


def test_rows_of_one_example_are_dropped_together() -> None:
    keys = jax.random.split(jax.random.key(0), 16)
    drop = nnx.view(Dropout(0.5, salt=3, whole_example=True), example_keys=keys)
    alone = np.asarray(drop(jnp.ones((16, 5))))
    assert 0 < (alone == 0).mean() < 1
    np.testing.assert_array_equal(drop(jnp.ones((64, 5))), np.repeat(alone, 4, axis=0))


@pytest.mark.parametrize("name", ["convmixer_768_32", "scnn"])
def test_networks_without_blocks_to_skip_name_those_that_have_some(name: str) -> None:
    with pytest.raises(
        InputError, match=rf"model\.drop_path=0\.15: '{name}' has no blocks to skip.*resnet18"
    ) as caught:
        drops(name, drop_path=0.15)
    able = str(caught.value).rpartition("choose ")[2].split(", ")
    assert able == [other for other in MODELS if MODELS[other].network in STOCHASTIC_DEPTH]
