"""Errors of an accelerator: networks, distances and thresholds against exact results.

    python benchmarks/device_numerics.py [--models resnet50 ... | all] [--image-size 224] [--batch 8] [--out FILE]

Networks: logits of one random network on the device (float32 with exact products, float32 at the default precision,
which is TF32 on a GPU, and bfloat16) against float32 on this host's CPU, relative to the largest logit. Distances:
against float64 differences. Nearest neighbours: the share of the true ones that is found. Thresholds: the searches of
device and host must choose the same cut of the same counts. The status is 1 where an error is beyond its bound.
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from record import chosen, make_parser, publish

from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.errors import nearest
from mtsccd_jax.models import MODELS
from mtsccd_jax.ops.distance import nearest_neighbors, paired_distance, pairwise_distance
from mtsccd_jax.ops.threshold import OBJECTIVES, best_threshold
from mtsccd_jax.perf.profile.workload import scene_workload
from mtsccd_jax.recipes.config import Data, Engine, Model, Recipe

# The twelve networks of the MtSCCD paper.
DEFAULT_MODELS = (
    *("alexnet", "vgg16", "vgg19", "googlenet", "resnet18", "resnet50", "resnet101", "seresnet50", "densenet201"),
    *("efficientnet_b0", "vit_base_patch16", "swin_tiny"),
)
# name -> (compute type, precision of products, largest relative error of a logit): a mantissa of 24, 11 and 8 bits,
# through up to two hundred layers.
LOGITS: dict[str, tuple[str, str | None, float]] = {
    "float32_exact": ("float32", "highest", 1e-4),
    "float32": ("float32", None, 2e-2),
    "bfloat16": ("bfloat16", None, 2e-1),
}
LARGEST_DISTANCE_ERROR = 1e-6  # relative; float32 has 6e-8


def main() -> None:
    parser = make_parser(__doc__, image_size=224, batch=8)
    parser.add_argument("--models", nargs="+", default=DEFAULT_MODELS, help="names, or all")
    arguments = parser.parse_args()
    models = list(MODELS) if list(arguments.models) == ["all"] else list(arguments.models)
    for name in models:
        if name not in MODELS:
            parser.error(f"{name}: no such network.{nearest(name, MODELS)}")
    result: dict[str, Any] = {
        "benchmark": "device_numerics",
        **chosen(arguments, "image_size", "batch"),
        "logits": {},
        "distances": distance_errors(),
        "thresholds": threshold_differences(),
    }
    wrong = [name for name, error in result["distances"].items() if not error <= LARGEST_DISTANCE_ERROR]
    wrong += [f"threshold by {objective}" for objective, same in result["thresholds"].items() if not same]
    for name in models:
        errors = logit_errors(name, arguments.image_size, arguments.batch)
        result["logits"][name] = errors
        wrong += [f"{name} in {kind}" for kind, error in errors.items() if not error <= LOGITS[kind][2]]
        print(f"{name:24} {errors}", file=sys.stderr, flush=True)
    publish(result | {"wrong": wrong}, arguments.out)
    if wrong:
        sys.exit(f"beyond their bounds: {', '.join(wrong)}")


def logit_errors(name: str, image_size: int, batch: int) -> dict[str, float]:
    """Return the largest error of a logit over the largest logit, for every kind of arithmetic."""
    truth, state = logits_on(jax.devices("cpu")[0], name, image_size, batch, "float32", "highest", None)
    errors = {}
    for kind, (dtype, precision, _) in LOGITS.items():
        found, _ = logits_on(jax.devices()[0], name, image_size, batch, dtype, precision, state)
        errors[kind] = float(f"{np.abs(found - truth).max() / np.abs(truth).max():.3g}")
    jax.clear_caches()
    return errors


def logits_on(
    device: jax.Device, name: str, image_size: int, batch: int, dtype: Any, precision: str | None, state: Any
) -> tuple[np.ndarray, Any]:
    """Return `(logits (b, k), state)` of a network on a device, with a state of the host or a random one."""
    recipe = Recipe(
        name="device_numerics",
        summary="one forward pass",
        data=Data(image_size=image_size),
        model=Model(name),
        engine=Engine(batch_size=batch, dtype=dtype),
    )
    with jax.default_device(device), jax.default_matmul_precision(precision):
        workload = scene_workload(recipe, make_parallel("jit", [device]), classes=10)
        state = workload.initial() if state is None else jax.device_put(state, workload.parallel.replicated)
        outputs = workload.jitted("infer")(state, workload.batch)
        return np.asarray(outputs["logits"]), jax.tree.map(np.asarray, state)


def distance_errors() -> dict[str, float]:
    """Return the largest relative error of every kind of distance, and the share of missed neighbours.

    Some rows are near-duplicates.
    """
    random = np.random.default_rng(0)
    x = random.standard_normal((500, 512)).astype(np.float32)
    y = random.standard_normal((3000, 512)).astype(np.float32)
    y[:100] = x[:100] + np.float32(1e-4) * random.standard_normal((100, 512)).astype(np.float32)
    exact = np.stack([np.linalg.norm(y.astype(np.float64) - row, axis=1) for row in x.astype(np.float64)])
    x_nd, y_md, k = jnp.asarray(x), jnp.asarray(y), 50
    distance, index = (np.asarray(part) for part in nearest_neighbors(x_nd, y_md, k))
    nearest_first = np.sort(exact, 1)[:, :k]
    missed = np.take_along_axis(exact, index.astype(int), 1) > nearest_first[:, -1:]

    def worst(found: Any, truth: np.ndarray) -> float:
        return float(f"{np.max(np.abs(np.asarray(found, np.float64) - truth) / truth):.3g}")

    return {
        "paired_distance": worst(paired_distance(x_nd, y_md[:500]), np.diagonal(exact)),
        "pairwise_distance": worst(pairwise_distance(x_nd, y_md), exact),
        "nearest_neighbors": worst(distance, nearest_first),
        "neighbors_missed": float(missed.mean()),
    }


def threshold_differences() -> dict[str, bool]:
    """Return whether the searches of device and host choose the same cut, with many equal distances."""
    random = np.random.default_rng(1)
    changed = random.random(200_000) < 0.13
    distance = np.abs(random.normal(size=changed.size) + 1.5 * changed).astype(np.float32).round(4)
    on_device = jnp.asarray(distance), jnp.asarray(changed)
    same = {}
    for objective in OBJECTIVES:
        host, device = best_threshold(distance, changed, objective), best_threshold(*on_device, objective)
        same[objective] = (host.threshold, host.confusion) == (device.threshold, device.confusion)
    return same


if __name__ == "__main__":
    main()
