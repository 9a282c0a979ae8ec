"""Operations and networks as ONNX models, run by ONNX Runtime, against what JAX computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from onnx_runtime import exported, outputs_of
from small_networks import evaluating, filled

from mtsccd_jax.engine.export.graph import NoPlaceInOnnx
from mtsccd_jax.models import MODELS
from mtsccd_jax.models.layers import pooling, transformer

TOLERANCE = 1e-5  # of the largest value

VECTOR = np.arange(6, dtype=np.float32) - 2.5
MATRIX = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)

# Of x (b, 4, 5, 6) and y (b, 5).
FUNCTIONS = {
    "numbers": lambda x, y: jnp.exp(-jnp.abs(x)) + jnp.tanh(x) / (1 + x**2) - jax.lax.rsqrt(jnp.square(x) + 1) + x**3,
    "erf": lambda x, y: jax.lax.erf(x) * jax.lax.erfc(x) * jax.nn.sigmoid(x),
    "choices": lambda x, y: jnp.where((x > 0) & (x != 1) | ~(x <= VECTOR), jnp.minimum(x, 1), jnp.maximum(x, VECTOR)),
    "rectifier": lambda x, y: nnx.relu(x) + jnp.maximum(x, -jnp.inf),
    "constant on the left": lambda x, y: VECTOR - x,
    "two inputs": lambda x, y: x + y[:, None, :, None],
    "repeated entries": lambda x, y: jnp.concatenate([jnp.broadcast_to(y[:, None, :, None], x.shape), x], 1),
    "constant for all examples": lambda x, y: jnp.concatenate(
        [jnp.broadcast_to(MATRIX[:, :5], (*y.shape[:1], 4, 5)), x[..., 0]], 1
    ),
    "transpositions": lambda x, y: (x.transpose(0, 3, 1, 2) * 2).transpose(0, 2, 1, 3) + x.swapaxes(2, 3),
    "layouts": lambda x, y: (x.transpose(0, 3, 1, 2) + x.transpose(0, 3, 1, 2)[:, ::-1]).reshape(-1, 20),
    "batch in the middle": lambda x, y: x.transpose(1, 0, 2, 3).reshape(4, -1, 30).sum(0),
    "more than the batch": lambda x, y: (x.reshape(-1, 5, 6) * 2).reshape(-1, 4, 30),
    "new axes": lambda x, y: jnp.stack([x, -x], 2).sum((1, 3)) + jnp.squeeze(y[:, None, :1, None], -1),
    "reductions": lambda x, y: x.max((1, 3)) - x.min((1, 3)) + x.mean((1, 3)),
    "slices": lambda x, y: x[:, 1:4:2, ::2, 5],
    "numbers and vectors": lambda x, y: x[:, 2, np.array([3, 0, 1])] + x[:, np.array([1, 1, 3])][:, :, 4],
    "two vectors": lambda x, y: x[:, np.array([3, 1])][:, :, np.array([0, 4])],
    "rolled": lambda x, y: jnp.roll(x, (-1, 2), (1, 2)),
    "margins": lambda x, y: jnp.pad(x.transpose(0, 3, 1, 2), ((0, 0), (1, 0), (0, 2), (3, 1)), constant_values=7),
    "product": lambda x, y: x @ MATRIX.T + y[:, None, :, None],
    "product of constants first": lambda x, y: jnp.einsum("pc,bhwc->pbhw", MATRIX, x).transpose(1, 0, 2, 3),
    "product in the middle": lambda x, y: jnp.einsum("ph,bhwc,qw->bpqc", MATRIX[:, :4], x, MATRIX[:, :5]),
    "products of examples": lambda x, y: (
        jnp.einsum("bhwc,bhvc->bhwv", x, x) + jnp.einsum("bhwc,bvhc->bvw", x, x.swapaxes(1, 2))[:, None]
    ),
    "product of vectors": lambda x, y: (
        jnp.einsum("bw,bw->b", y, y) + jnp.einsum("bhwc,hwc->b", x, np.resize(MATRIX, (4, 5, 6)))
    ),
    "examples by examples": lambda x, y: (y[:, None] + y).reshape(-1, 5),
    "largest of windows": lambda x, y: pooling.max_pool(x, 3, 2, 0, ceil_mode=True),
    "largest beyond the border": lambda x, y: pooling.max_pool(x, 3, 2, 1, ceil_mode=True),
    "means of windows": lambda x, y: pooling.average_pool(x, 3, 2, 1),
    "means of parts": lambda x, y: pooling.adaptive_average_pool(x, 3),
    "attention": lambda x, y: transformer.attend(x, x + 1, 2 * x),
    "gelu": lambda x, y: transformer.gelu(x),
    "windows": lambda x, y: jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2, 3, 1), (1, 1, 2, 1), "SAME"),
    "integers": lambda x, y: x.astype(jnp.int32).astype(jnp.float32) + (x > 0).astype(jnp.float32),
    "convolution": lambda x, y: jax.lax.conv_general_dilated(
        x,
        np.resize(MATRIX, (3, 2, 3, 4)),
        (2, 1),
        ((1, 0), (2, 1)),
        rhs_dilation=(1, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=2,
    ),
    "known in half precision": lambda x, y: x * jnp.asarray(VECTOR, jnp.bfloat16).astype(jnp.float32),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operations_give_what_jax_gives(name):
    function = FUNCTIONS[name]
    session = exported(lambda _, given: {"out": function(given["x"], given["y"])}, (), x=(4, 5, 6), y=(5,))
    generator = np.random.default_rng(0)
    x, y = (generator.normal(size=(3, *shape)).astype(np.float32) for shape in ((4, 5, 6), (5,)))
    expected = np.asarray(function(x, y))
    np.testing.assert_allclose(outputs_of(session, x=x, y=y)["out"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x: jnp.sort(x), "JAX's operation 'sort'"),
        (lambda x: jax.lax.scan(lambda y, _: (2 * y, None), x, length=3)[0], "JAX's operation 'scan'"),
        (lambda x: jnp.concatenate([jnp.broadcast_to(VECTOR, (2 * x.shape[0], 6)), x]), "an array of shape"),
        (lambda x: (x[:, None] + x).reshape(x.shape[0], 2, x.shape[0], 3), "an array of shape"),
        (lambda x: x[:, jnp.eye(6, dtype=int)].sum(2), "an index that varies along several axes"),
        (lambda x: jnp.take_along_axis(x, x.astype(jnp.int32), 1), "an index that depends on the input"),
        (lambda x: jax.lax.pad(x, 0.0, ((0, 0, 0), (-1, 0, 0))), "a margin of"),
        (lambda x: jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2), (1, 1), "VALID"), "a reduction of windows"),
    ],
)
def test_what_has_no_place_in_a_graph_is_named(function, what):
    with pytest.raises(NoPlaceInOnnx, match=what):
        exported(lambda _, given: {"out": function(given["x"])}, (), x=(6,))


# Of every kind of operation; incomplete windows, odd maps and pixels beyond the last window among them.
SOME = {
    "resnet18": 33,
    "alexnet": 63,
    "mobilevit_xxs": 40,
    "swin_tiny": 40,
    "convnextv2_atto": 45,
}
OTHERS = [pytest.param(name, 96, marks=[pytest.mark.parity, pytest.mark.slow]) for name in MODELS]


def split(model):
    """The weights of a network, and its logits and features as a function of them and of images."""
    graph, state = nnx.split(evaluating(model))

    def forward(weights, given):
        output = nnx.merge(graph, weights)(given["image"])
        return {"logits": output.logits, "features": output.features}

    return forward, jax.tree.map(np.asarray, state)


def check(exporting, reference, size):
    """Compare the model of a network with another network at several batches."""
    session = exported(*split(exporting), image=(size, size, 3))
    forward, weights = split(reference)
    image = np.random.default_rng(0).normal(size=(8, size, size, 3)).astype(np.float32)
    expected = {name: np.asarray(whole) for name, whole in jax.jit(forward)(weights, {"image": image}).items()}
    for b in (1, 3, 8):
        given = outputs_of(session, image=image[:b])
        for name, whole in expected.items():
            atol = TOLERANCE * np.abs(whole).max()
            np.testing.assert_allclose(given[name], whole[:b], rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize(("name", "size"), [*SOME.items(), *OTHERS])
def test_networks_give_their_own_logits_and_features_at_every_batch(name, size):
    model = filled(name, image_size=size)
    check(model, model, size)


def test_a_network_of_half_precision_is_one_of_float32():
    check(filled("resnet18", image_size=33, dtype=jnp.bfloat16), filled("resnet18", image_size=33), 33)
