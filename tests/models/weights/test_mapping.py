"""Published weights in our networks and back: names, layouts, what is adapted, what is refused."""

import jax
import numpy as np
import pytest
import torch_reference
from flax import nnx
from small_networks import abstract, evaluating, filled

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS
from mtsccd_jax.models.network import AUXILIARY
from mtsccd_jax.models.vit import PositionEmbedding
from mtsccd_jax.models.weights.files import WeightFile
from mtsccd_jax.models.weights.mapping import adapt_channels, fit, published, slots


def file_of(arrays: dict[str, np.ndarray], source: str = "w.safetensors") -> WeightFile:
    return WeightFile(source, arrays, sha256="")


def weights_of(name: str, seed: int = 1, **arguments) -> dict[str, np.ndarray]:
    """Return another network of that name as published arrays."""
    return published(filled(name, seed, **arguments), MODELS[name].names[0])


@pytest.mark.parametrize("name", MODELS)
def test_every_array_of_every_network_has_one_name_in_every_dialect(name: str) -> None:
    model = abstract(name, image_size=224, width=1.0)
    paths = {path for path, node in nnx.iter_graph(model) if isinstance(node, nnx.Variable)}
    for dialect in MODELS[name].names:
        found = list(slots(model, dialect))
        assert len({slot.name for slot in found}) == len(found)
        assert {slot.path for slot in found} | {path for path in paths if path[0] == AUXILIARY} == paths


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16"])
@pytest.mark.parametrize("prefix", ["", "model.vision_encoder.", "module."])
def test_weights_come_back_under_any_prefix(name: str, prefix: str) -> None:
    arrays = weights_of(name)
    stored = {prefix + key: value for key, value in arrays.items()}
    stored[f"{prefix}bn1.num_batches_tracked"] = np.array(3)
    fitted = fit(filled(name), MODELS[name].names, file_of(stored))
    assert not fitted.notes
    model = filled(name)
    variables = {path: node for path, node in nnx.iter_graph(model) if isinstance(node, nnx.Variable)}
    assert fitted.arrays.keys() == variables.keys()
    for path, value in fitted.arrays.items():
        variables[path].set_value(jax.numpy.asarray(value))
    for key, value in published(model, MODELS[name].names[0]).items():
        np.testing.assert_array_equal(value, arrays[key])


def test_a_head_for_other_classes_stays_random_and_is_named() -> None:
    fitted = fit(filled("resnet18"), MODELS["resnet18"].names, file_of(weights_of("resnet18", num_classes=9)))
    assert fitted.notes == ["head: 9 classes there, 5 here; begins at random"]
    assert not [path for path in fitted.arrays if path[0] == "head"]
    headless = {key: value for key, value in weights_of("resnet18").items() if not key.startswith("fc.")}
    assert fit(filled("resnet18"), MODELS["resnet18"].names, file_of(headless)).notes == [
        "head: none there; begins at random"
    ]


def test_everything_that_does_not_fit_is_named_at_once() -> None:
    arrays = weights_of("resnet18")
    del arrays["layer2.0.conv1.weight"], arrays["bn1.running_var"]
    arrays["layer4.1.bn2.bias"] = np.zeros(3, np.float32)
    arrays |= {f"layer{i}.9.conv1.weight": np.zeros(1, np.float32) for i in range(5)}
    before = {key: value.copy() for key, value in arrays.items()}
    with pytest.raises(InputError) as caught:
        fit(filled("resnet18"), MODELS["resnet18"].names, file_of(arrays, "hf:acme/net"))
    assert str(caught.value) == (
        "hf:acme/net: weights of another network: 2 missing (bn1.running_var, layer2.0.conv1.weight); "
        "5 unknown (layer0.9.conv1.weight, layer1.9.conv1.weight, layer2.9.conv1.weight, ...); "
        "1 of another shape (layer4.1.bn2.bias (3,))"
    )
    assert before.keys() == arrays.keys()


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vgg11", "vit_tiny_patch16"])
def test_values_that_are_not_finite_are_counted_and_refused(name: str) -> None:
    arrays, model = weights_of(name), filled(name)
    first, *_, last = arrays
    for value in (np.nan, np.inf, -np.inf, 1e300):
        wrong = {key: array.astype(np.float64) for key, array in arrays.items()}
        wrong[first].flat[0] = wrong[last].flat[-1] = value
        message = rf"w: weights that are not finite.* \({first}: 1 of \d+ values; {last}: 1 of \d+ values\)"
        with pytest.raises(InputError, match=message):
            fit(model, MODELS[name].names, file_of(wrong, "w"))
    fit(model, MODELS[name].names, file_of(arrays))


def test_a_variance_below_zero_is_refused() -> None:
    arrays = weights_of("resnet18")
    arrays["bn1.running_var"] = np.array([-1e-3, *arrays["bn1.running_var"][1:]], np.float32)
    with pytest.raises(InputError, match=r"variances below zero \(bn1\.running_var: 1 of 8 values\)"):
        fit(filled("resnet18"), MODELS["resnet18"].names, file_of(arrays))


def test_of_two_networks_in_a_file_the_averaged_one_is_taken_and_the_other_named() -> None:
    raw, averaged = weights_of("resnet18"), weights_of("resnet18", seed=2)
    both = {f"model.{key}": value for key, value in raw.items()} | {
        f"model_ema.{key}": v for key, v in averaged.items()
    }
    fitted = fit(filled("resnet18"), MODELS["resnet18"].names, file_of({**both, "criterion.weight": np.ones(5)}))
    np.testing.assert_array_equal(fitted.arrays["head", "bias"], averaged["fc.bias"])
    (note,) = fitted.notes
    assert note.startswith(f"{len(raw) + 1} arrays outside model_ema.* are left out (model.conv1.weight, ")


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(InputError, match=r"weights of another network: .* missing .* unknown"):
        fit(filled("resnet18"), MODELS["resnet18"].names, file_of(weights_of("vit_tiny_patch16")))
    with pytest.raises(InputError, match="missing"):
        fit(filled("resnet34"), MODELS["resnet34"].names, file_of(weights_of("resnet18")))


@pytest.mark.parametrize("channels", [1, 2, 4, 10, 12])
def test_the_first_convolution_adapts_to_other_channels_as_in_timm(channels: int) -> None:
    arrays = weights_of("resnet18")
    fitted = fit(filled("resnet18", in_channels=channels), MODELS["resnet18"].names, file_of(arrays))
    kernel = fitted.arrays["stem", "conv", "kernel"]
    assert fitted.notes == [f"conv1.weight: adapted from (7, 7, 3, 8) to (7, 7, {channels}, 8)"]
    torch = pytest.importorskip("torch", reason="the reference is timm in torch")
    timm = torch_reference.import_timm()
    reference = timm.models.adapt_input_conv(channels, torch.from_numpy(arrays["conv1.weight"].copy())).numpy()
    np.testing.assert_allclose(kernel, reference.transpose(2, 3, 1, 0), rtol=1e-5, atol=1e-7)


def test_three_channels_come_from_ten() -> None:
    """Check that the first convolution keeps its output for an image that is equal in all bands."""
    ten = np.random.default_rng(0).normal(size=(3, 3, 10, 4)).astype(np.float32)
    np.testing.assert_allclose(adapt_channels(ten, 3), ten[:, :, :3] * 10 / 3, rtol=1e-6)


@pytest.mark.parametrize(("side", "old"), [(7, 14), (19, 14), (14, 2)])
def test_position_embeddings_are_resampled_as_in_timm(side: int, old: int) -> None:
    pytest.importorskip("torch", reason="the reference is timm")
    torch_reference.import_timm()
    import torch
    from timm.layers import resample_abs_pos_embed

    table = np.random.default_rng(0).normal(size=(1, 1 + old * old, 8)).astype(np.float32)
    ours = PositionEmbedding.resampled(table, (1, 1 + side * side, 8))
    reference = resample_abs_pos_embed(torch.from_numpy(table), (side, side), verbose=False).numpy()
    np.testing.assert_allclose(ours, reference, rtol=5e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "timm_name"), [("resnet18", "resnet18"), ("vit_tiny_patch16", "vit_tiny_patch16_224")]
)
def test_torch_loads_what_we_publish_to_the_same_logits(name: str, timm_name: str) -> None:
    torch = pytest.importorskip("torch", reason="the reference is timm in torch")
    timm = torch_reference.import_timm()
    model = filled(name, width=1.0)
    arguments = {"img_size": 64} if "vit" in name else {}
    reference = timm.create_model(timm_name, num_classes=5, **arguments).eval()
    arrays = published(model, MODELS[name].names[0])
    reference.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in arrays.items()}, strict=True)
    image = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    ours = jax.jit(lambda model, image: model(image).logits)(evaluating(model), image)
    with torch.no_grad():
        logits = reference(torch_reference.channels_first(image)).numpy()
    assert torch_reference.relative_error(ours, logits) < 1e-4
