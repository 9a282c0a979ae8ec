"""The siamese network: symmetry, its local part against brute force, and every backbone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export
from small_networks import abstract, evaluating

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS, Settings, create_model
from mtsccd_jax.models.siamese import STATISTICS, Siamese, backbone_of, dates, local_statistics

SIDE = 96
BACKBONES = [
    name if name in ("scnn", "vgg11", "googlenet", "vit_tiny_patch16") else pytest.param(name, marks=pytest.mark.parity)
    for name in MODELS
]


def siamese(name="scnn", *, size=32, model_width=0.0625, dtype=jnp.float32, width=8, radius=1):
    """Make a small network with random initial weights."""
    rngs, settings = nnx.Rngs(0), Settings(model_width)
    backbone = create_model(name, num_classes=3, image_size=size, dtype=dtype, settings=settings, rngs=rngs)
    return Siamese(backbone, size, width, radius, rngs=rngs)


def made(name="scnn", **arguments):
    """Make a small network in evaluation mode."""
    graph = nnx.graphdef(evaluating(nnx.eval_shape(lambda: siamese(name, **arguments))))
    return nnx.merge(graph, jax.jit(lambda: nnx.state(siamese(name, **arguments)))())


def images(n=4, side=32):
    return np.random.default_rng(0).normal(size=(2, n, side, side, 3)).astype(np.float32)


@jax.jit
def scored(model, t1, t2):
    """Return the change and scene logits."""
    change, scenes = model(t1, t2)
    return change, scenes.logits


@pytest.mark.parametrize("name", ["scnn", "resnet18"])
def test_exchanging_the_dates_changes_nothing(name):
    model, (t1, t2) = made(name), images()
    forth, back = scored(model, t1, t2), scored(model, t2, t1)
    np.testing.assert_allclose(forth[0], back[0], rtol=1e-5, atol=1e-6)
    for one, other in zip(dates(forth[1]), reversed(dates(back[1])), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert np.ptp(forth[0]) > 1e-4, "pairs must be told apart"


def test_a_pair_is_scored_alone_and_its_images_as_the_backbone_scores_them():
    model, (t1, t2) = made(), images()
    change, logits = scored(model, t1, t2)
    np.testing.assert_allclose(scored(model, t1[1:2], t2[1:2])[0], change[1:2], rtol=1e-4, atol=1e-5)
    for image, seen in zip((t1, t2), dates(logits), strict=True):
        alone = jax.jit(lambda model, image: model(image).logits)(model.backbone, image)
        np.testing.assert_allclose(seen, alone, rtol=1e-4, atol=1e-5)
    assert backbone_of(model) is model.backbone
    assert backbone_of(model.backbone) is model.backbone


def brute_force(t1_hwc, t2_hwc, radius):
    """Return the statistics of one pair, computed place by place in float64."""
    height, width, _ = t1_hwc.shape
    unit_1, unit_2 = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (t1_hwc, t2_hwc))
    places = [(y, x) for y in range(height) for x in range(width)]

    def best(here, there):
        return [
            max(here[p] @ there[q] for q in places if max(abs(p[0] - q[0]), abs(p[1] - q[1])) <= radius) for p in places
        ]

    def summary(values):
        return np.array([np.mean(values), np.std(values), np.min(values)])

    nearby = (summary(best(unit_1, unit_2)) + summary(best(unit_2, unit_1))) / 2
    return np.concatenate([nearby, summary([unit_1[p] @ unit_2[p] for p in places])])


@pytest.mark.parametrize(("height", "width", "radius"), [(1, 1, 1), (3, 5, 0), (4, 3, 1), (3, 4, 2), (2, 2, 9)])
def test_the_local_part_is_that_of_brute_force(height, width, radius):
    t1, t2 = np.random.default_rng(radius).normal(size=(2, 3, height, width, 6))
    expected = np.stack([brute_force(a, b, radius) for a, b in zip(t1, t2, strict=True)])
    found = local_statistics(jnp.asarray(t1, jnp.float32), jnp.asarray(t2, jnp.float32), radius)
    assert found.shape == (3, STATISTICS)
    spread = [1, 4]
    np.testing.assert_allclose(np.delete(found, spread, 1), np.delete(expected, spread, 1), atol=1e-5)
    np.testing.assert_allclose(found[:, spread], np.sqrt(expected[:, spread] ** 2 + 1e-6), atol=1e-5)


def test_a_shift_within_the_radius_is_no_change():
    canvas = np.random.default_rng(0).normal(size=(1, 7, 7, 16)).astype(np.float32)
    t1, t2 = canvas[:, :6, :6], canvas[:, 1:, :6]
    near, far = local_statistics(t1, t2, 1), local_statistics(t1, t2, 0)
    assert near[0, 0] > far[0, 0] + 0.3
    same = local_statistics(t1, t1, 1)
    np.testing.assert_allclose(same[0, [0, 2, 3, 5]], 1, atol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_fits_in_any_type(name):
    """Check shapes and types, float32 parameters under bfloat16, and the structure of the backbone."""
    model = nnx.eval_shape(lambda: siamese(name, size=SIDE, model_width=0.125, dtype=jnp.bfloat16))
    image = jnp.zeros((2, SIDE, SIDE, 3))
    output = nnx.eval_shape(lambda model, image: model(image, image), evaluating(model), image)
    assert (output.change_b.shape, output.change_b.dtype) == ((2,), jnp.float32)
    assert output.scenes.logits.shape == (4, 3)
    leaves = jax.tree.leaves(nnx.state(model))
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)
    backbone = abstract(name, num_classes=3, image_size=SIDE, dtype=jnp.bfloat16)
    assert jax.tree.structure(nnx.state(backbone)) == jax.tree.structure(nnx.state(model.backbone))


def test_the_backbone_begins_as_it_does_alone():
    alone = create_model("scnn", num_classes=3, image_size=32, settings=Settings(0.0625), rngs=nnx.Rngs(0))
    for one, other in zip(jax.tree.leaves(nnx.state(alone)), jax.tree.leaves(nnx.state(made().backbone)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_bfloat16_is_close_to_float32():
    t1, t2 = images()
    narrow, exact = scored(made(dtype=jnp.bfloat16), t1, t2)[0], scored(made(), t1, t2)[0]
    np.testing.assert_allclose(narrow, exact, atol=0.05)


def test_gradients_are_finite_where_both_dates_are_one_image():
    graph, params, rest = nnx.split(nnx.merge(*nnx.split(made())), nnx.Param, ...)
    image = images()[0]

    def loss(params):
        return jnp.sum(nnx.merge(graph, params, rest, copy=True)(image, image).change_b)

    gradient = jax.jit(jax.grad(loss))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient["fusion"]))


def test_the_network_lowers_for_every_platform():
    graph, state = nnx.split(evaluating(nnx.eval_shape(siamese)))
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    forward = jax.jit(lambda state, t1, t2: nnx.merge(graph, state)(t1, t2).change_b)
    exported = export.export(forward, platforms=["cpu", "cuda", "tpu"])(state, image, image)
    assert exported.out_avals[0].shape == (2,)


@pytest.mark.parametrize(("argument", "value"), [("width", 0), ("radius", -1)])
def test_widths_and_radii_out_of_range_are_refused(argument, value):
    with pytest.raises(InputError, match=rf"similarity\.{argument}={value}"):
        nnx.eval_shape(lambda: siamese(**{argument: value}))
