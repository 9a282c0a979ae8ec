"""Dropout and stochastic depth: their laws, and which blocks examples skip, against timm."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx
from peers import PEERS
from small_networks import abstract

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS
from mtsccd_jax.models.layers.dropout import Dropout


def dropped(layer: Dropout, seeds: list[int], shape: tuple[int, ...]) -> np.ndarray:
    """Pass ones through a layer, each example with the key of its seed."""
    keys = jax.vmap(jax.random.PRNGKey)(jnp.asarray(seeds))
    return np.asarray(nnx.view(layer, example_keys=keys)(jnp.ones((len(seeds), *shape))))


def test_dropout_zeroes_its_share_and_keeps_the_mean() -> None:
    y = dropped(Dropout(0.3, salt=0), list(range(8)), (50, 40))
    assert set(np.unique(y)) == {0, np.float32(1 / 0.7)}
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.02)
    assert y.mean() == pytest.approx(1, abs=0.03)


def test_dropout_depends_on_the_example_and_the_layer_and_not_on_the_batch() -> None:
    layer = Dropout(0.5, salt=1)
    whole = dropped(layer, [3, 4, 5, 6], (64,))
    np.testing.assert_array_equal(dropped(layer, [5, 6, 3], (64,)), whole[[2, 3, 0]])
    assert (whole[0] != whole[1]).any()
    assert (dropped(Dropout(0.5, salt=2), [3], (64,)) != whole[0]).any()


def test_stochastic_depth_drops_whole_examples() -> None:
    y = dropped(Dropout(0.5, salt=0, whole_example=True), list(range(64)), (3, 5))
    kept = y.reshape(64, -1)
    assert (kept == kept[:, :1]).all()
    assert 0.25 < (kept[:, 0] == 0).mean() < 0.75


def test_without_keys_nothing_is_dropped() -> None:
    x = jnp.ones((2, 4))
    np.testing.assert_array_equal(Dropout(0.5, salt=0)(x), x)


def drops(name: str, **settings: object) -> list[Dropout]:
    """Return the stochastic depth of a small network."""
    found = [node for _, node in nnx.iter_graph(abstract(name, **settings)) if isinstance(node, Dropout)]
    return [drop for drop in found if drop.whole_example]


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
def test_examples_skip_blocks_as_in_timm(small_variant: Callable, name: str, size: int) -> None:
    reference, settings = small_variant(name, size, drop_path_rate=0.5)
    torch_reference.check_stochastic_depth(name, reference, size, replace(settings, drop_path=0.5))


@pytest.mark.parametrize(
    "key", ["resnet50@timm", "vit_base_patch8", "convnextv2_base", "mobilevit_s", "mlp_mixer_base_patch16"]
)
def test_rates_of_published_sizes_are_those_of_timm(key: str) -> None:
    torch = pytest.importorskip("torch", reason="the reference is timm in torch")
    name = key.partition("@")[0]
    with torch.device("meta"):
        reference = PEERS[key].make(10, 224, drop_path_rate=0.15)
    paths = [
        (module.drop_prob, reference.get_submodule(part.rpartition(".")[0]))
        for part, module in reference.named_modules()
        if type(module).__name__ == "DropPath"
    ]
    expected = [rate for rate, block in paths if getattr(block, "shortcut", block) is not None]
    # In timm the two branches of a mixer's block share a module.
    expected *= 2 if "mixer" in name else 1
    ours = sorted(drop.rate for drop in drops(name, drop_path=0.15) if drop.rate > 0)
    np.testing.assert_allclose(ours, sorted(expected), atol=1e-7)


@pytest.mark.parametrize("name", ["swin_tiny", "efficientnet_b0"])
def test_a_rate_takes_the_place_of_the_published_one(name: str) -> None:
    published, asked = ([drop.rate for drop in drops(name, **given)] for given in ({}, {"drop_path": 0.1}))
    assert max(published) > 0.15
    np.testing.assert_allclose(asked, np.array(published) / 2, rtol=1e-12)
    assert not any(drop.rate for drop in drops(name, drop_path=0.0))


def test_rows_of_one_example_are_dropped_together() -> None:
    keys = jax.random.split(jax.random.key(0), 16)
    drop = nnx.view(Dropout(0.5, salt=3, whole_example=True), example_keys=keys)
    alone = np.asarray(drop(jnp.ones((16, 5))))
    assert 0 < (alone == 0).mean() < 1
    np.testing.assert_array_equal(drop(jnp.ones((64, 5))), np.repeat(alone, 4, axis=0))


@pytest.mark.parametrize("name", ["convmixer_768_32", "scnn"])
def test_networks_without_blocks_to_skip_name_those_that_have_some(name: str) -> None:
    with pytest.raises(InputError, match=rf"model\.drop_path=0\.15: '{name}' has no blocks to skip") as caught:
        drops(name, drop_path=0.15)
    able = str(caught.value).rpartition("choose ")[2].split(", ")
    assert able == [other for other in MODELS if "drop_path" in MODELS[other].network.follows]
