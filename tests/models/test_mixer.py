"""MLP-Mixer against timm: evaluation, one training step, initial weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import create_model
from mtsccd_jax.models.layers.blocks import Settings
from mtsccd_jax.models.mixer import Architecture, MlpMixer

TIMM_NAMES = {"mlp_mixer_small_patch16": "mixer_s16_224", "mlp_mixer_base_patch16": "mixer_b16_224"}


def timm_model(name: str, **arguments: Any) -> Any:
    """A network of timm, or skip."""
    pytest.importorskip("torch", reason="the reference is timm's MLP-Mixer in torch")
    try:
        return torch_reference.import_timm().create_model(TIMM_NAMES[name], **arguments)
    except ModuleNotFoundError:
        pytest.skip("timm, the reference, is not installed")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        # What no patch fills is cut off.
        ("mlp_mixer_small_patch16", 60),
        pytest.param("mlp_mixer_small_patch16", 224, marks=pytest.mark.parity),
        pytest.param("mlp_mixer_base_patch16", 224, marks=pytest.mark.parity),
        pytest.param("mlp_mixer_base_patch16", 96, marks=pytest.mark.parity),
    ],
)
def test_logits_features_and_map_equal_timm(name: str, size: int) -> None:
    side = size // 16
    torch_reference.check_evaluation(
        name,
        timm_model(name, num_classes=10, img_size=size),
        size,
        features=lambda seen: seen["head:in"],
        feature_map=lambda seen: seen["norm"].reshape(2, side, side, -1),
    )


@pytest.mark.parity
@pytest.mark.parametrize("name", TIMM_NAMES)
def test_one_training_step_of_the_published_size_equals_torch(name: str) -> None:
    reference = timm_model(name, num_classes=10)
    torch_reference.randomize(reference, seed=1)
    torch_reference.check_training_step(name, reference, 224, tolerance=1e-6)


@pytest.mark.parametrize("name", TIMM_NAMES)
def test_as_many_parameters_as_timm(name: str) -> None:
    torch = pytest.importorskip("torch", reason="the reference is timm's MLP-Mixer in torch")
    with torch.device("meta"):
        reference = timm_model(name)
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


def test_weights_begin_as_timm_does() -> None:
    architecture = Architecture(patch=16, embedding=128, depth=1)
    model = MlpMixer(architecture, Settings(num_classes=100, image_size=128), rngs=nnx.Rngs(0))
    for mlp, inputs, hidden in ((model.blocks[0].mlp_tokens, 64, 64), (model.blocks[0].mlp_channels, 128, 512)):
        limit = (6 / (inputs + hidden)) ** 0.5
        for linear in (mlp.expand, mlp.contract):
            assert 0.99 * limit < np.abs(linear.kernel[...]).max() <= limit
            assert not np.any(linear.bias[...])
    assert np.std(model.patch_embedding.kernel[...]) == pytest.approx(768**-0.5, rel=0.05)
    assert not np.any(model.patch_embedding.bias[...])
    assert not np.any(model.head.kernel[...])


def test_a_size_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(InputError, match="an MLP-Mixer takes images of 16 pixels or more, not 15x15"):
        create_model("mlp_mixer_small_patch16", num_classes=10, image_size=15, rngs=nnx.Rngs(0))


def test_any_channels_and_width_but_no_other_size_than_made_for() -> None:
    model = nnx.eval_shape(
        lambda: create_model(
            "mlp_mixer_small_patch16", num_classes=2, image_size=48, in_channels=4, width=0.25, rngs=nnx.Rngs(0)
        )
    )
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 48, 48, 4)))
    assert output.features.shape == (1, 128)
    assert output.feature_map.shape == (1, 3, 3, 128)
    with pytest.raises(InputError, match="48x48 pixels, not 48x32"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 48, 32, 4)))
