"""Training and inference of the networks against PyTorch, on the same cores.

    python benchmarks/compare_torch.py [--models resnet18 vit_tiny_patch16] [--tasks train infer] [--batch 32]
                                       [--image-size 96] [--rounds 7] [--out FILE]

Both sides run the same network in float32 on one batch that is ready in memory: torchvision's ResNet in channels-last,
timm's ViT. A training step is forward, cross-entropy, backward and SGD with momentum and weight decay; inference is the
forward pass in evaluation mode. Steps take turns; "ratio" is our images/s over PyTorch's, round by round. PyTorch's
threads wait for each other by spinning and suffer most from neighbours: measure on idle cores ("load" is how many
processes wanted to run before we began), or pin both sides to one core (`taskset -c 0`).
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from record import make_parser, publish, spread

from mtsccd_jax.host_memory import keep_freed_memory
from mtsccd_jax.models import create_model
from mtsccd_jax.perf import timing

CLASSES = 10
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4
MODELS = ("resnet18", "vit_tiny_patch16")


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--tasks", nargs="+", choices=("train", "infer"), default=("train", "infer"))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=96)
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("the peer is missing: pip install torch torchvision timm")

    load = os.getloadavg()[0]
    kept = keep_freed_memory()
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    random = np.random.default_rng(0)
    image = random.normal(size=(arguments.batch, arguments.image_size, arguments.image_size, 3)).astype(np.float32)
    label = random.integers(0, CLASSES, arguments.batch)

    rows = []
    for name in arguments.models:
        for task in arguments.tasks:
            ours = (jax_train if task == "train" else jax_infer)(name, image, label)
            peer = (torch_train if task == "train" else torch_infer)(name, image, label)
            times = timing.measure({"jax": ours, "torch": peer}, warmup=2, rounds=arguments.rounds)
            row = {
                "model": name,
                "task": task,
                **{f"{side}_images_per_s": round(arguments.batch / t.median_s, 1) for side, t in times.items()},
                "ratio": spread(times["torch"], times["jax"]),
            }
            rows.append(row)
            print(
                f"{name:18} {task:6} jax {row['jax_images_per_s']:7} torch {row['torch_images_per_s']:7} images/s  "
                f"ratio {row['ratio']['median']:.2f} ({row['ratio']['p10']:.2f} to {row['ratio']['p90']:.2f})",
                file=sys.stderr,
            )
    result = {
        "benchmark": "torch",
        "batch": arguments.batch,
        "image_size": arguments.image_size,
        "precision": "float32",
        "threads": threads,
        "load": round(load, 2),
        "keeps_freed_memory": kept,
        "torch": torch.__version__,
        "rows": rows,
    }
    publish(result, arguments.out)


def jax_train(name: str, image: np.ndarray, label: np.ndarray) -> Callable[[], Any]:
    """One training step on the state that the last one left."""
    model = create_model(name, num_classes=CLASSES, image_size=image.shape[1], rngs=nnx.Rngs(0))
    graph, params, first_stats = nnx.split(model, nnx.Param, ...)
    optimizer = optax.chain(optax.add_decayed_weights(WEIGHT_DECAY), optax.sgd(LEARNING_RATE, MOMENTUM))

    def step(state: tuple, image: jax.Array, label: jax.Array) -> tuple[tuple, jax.Array]:
        params, stats, slots = state

        def loss_and_stats(params: nnx.State) -> tuple[jax.Array, nnx.State]:
            model = nnx.merge(graph, params, stats, copy=True)
            loss = optax.softmax_cross_entropy_with_integer_labels(model(image).logits, label).mean()
            return loss, nnx.state(model, nnx.BatchStat)

        (loss, stats), gradients = jax.value_and_grad(loss_and_stats, has_aux=True)(params)
        updates, slots = optimizer.update(gradients, slots, params)
        return (optax.apply_updates(params, updates), stats, slots), loss

    compiled = jax.jit(step, donate_argnums=0)
    state = (params, first_stats, optimizer.init(params))
    image_device, label_device = jnp.asarray(image), jnp.asarray(label)

    def run() -> Any:
        nonlocal state
        state, loss = compiled(state, image_device, label_device)
        return state, loss

    return run


def jax_infer(name: str, image: np.ndarray, label: np.ndarray) -> Callable[[], Any]:
    """The forward pass in evaluation mode."""
    model = create_model(name, num_classes=CLASSES, image_size=image.shape[1], rngs=nnx.Rngs(0))
    graph, state = nnx.split(nnx.view(model, use_running_average=True, raise_if_not_found=False))
    compiled = jax.jit(lambda state, image: nnx.merge(graph, state)(image).logits)
    image_device = jnp.asarray(image)
    return lambda: compiled(state, image_device)


def torch_model(name: str, image: np.ndarray) -> tuple[Any, Any]:
    """The same network in torch and the images, both in channels-last."""
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))
    import torch_reference

    if name.startswith("vit"):
        model = torch_reference.import_timm().create_model(f"{name}_224", img_size=image.shape[1], num_classes=CLASSES)
    else:
        model = getattr(torch_reference.import_torchvision().models, name)(num_classes=CLASSES)
    channels_last = {"memory_format": torch.channels_last}
    return model.to(**channels_last), torch_reference.channels_first(image).contiguous(**channels_last)


def torch_train(name: str, image: np.ndarray, label: np.ndarray) -> Callable[[], Any]:
    """One training step."""
    import torch

    model, batch = torch_model(name, image)
    truth = torch.from_numpy(label)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)

    def run() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(batch), truth)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def torch_infer(name: str, image: np.ndarray, label: np.ndarray) -> Callable[[], Any]:
    """The forward pass in evaluation mode."""
    import torch

    model, batch = torch_model(name, image)
    model.eval()

    def run() -> None:
        with torch.inference_mode():
            model(batch)

    return run


if __name__ == "__main__":
    main()
