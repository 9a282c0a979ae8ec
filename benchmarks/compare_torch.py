"""Training and inference of the networks against PyTorch, on the same cores.

    python benchmarks/compare_torch.py [--models resnet18 vit_tiny_patch16 | all] [--tasks train infer] [--batch 32]
                                       [--image-size 96] [--rounds 7] [--torch-compile] [--out FILE] [--csv FILE]

Both sides run the same network in float32 on one batch that is ready in memory, PyTorch in channels-last. A training
step is forward, cross-entropy, backward and SGD with momentum and weight decay; inference is the forward pass in
evaluation mode. Steps take turns; "ratio" is our images/s over PyTorch's, round by round. Compilation is timed apart;
peak memory is that of a process of its own that does two steps, less what it held before the first. `--csv` writes a
line a network and side in the columns of timm's benchmark results.

PyTorch's threads wait for each other by spinning and suffer most from neighbours: measure on idle cores ("load" is how
many processes wanted to run before we began), or pin both sides to one core (`taskset -c 0`).
"""

import argparse
import csv
import os
import subprocess
import sys
import time
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
from mtsccd_jax.models import create_model, describe_models
from mtsccd_jax.perf import timing

CLASSES = 10
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4
DEFAULT_MODELS = ("resnet18", "vit_tiny_patch16")

# Where PyTorch's networks come from, and what timm calls its own.
TORCHVISION = (
    *(
        "alexnet",
        "vgg11",
        "vgg16",
        "vgg19",
        "googlenet",
        "inception_v3",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
    ),
    *("resnet152", "densenet121", "densenet169", "densenet201", "efficientnet_b0"),
)
# Side classifiers take part in a loss that this benchmark does not have.
WITH_SIDE_CLASSIFIERS = ("googlenet", "inception_v3")
TIMM = {
    "seresnet50": "seresnet50",
    "vit_tiny_patch16": "vit_tiny_patch16_224",
    "vit_small_patch16": "vit_small_patch16_224",
    "vit_base_patch16": "vit_base_patch16_224",
    "vit_base_patch8": "vit_base_patch8_224",
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "convnextv2_atto": "convnextv2_atto",
    "convnextv2_tiny": "convnextv2_tiny",
    "convnextv2_base": "convnextv2_base",
    "mlp_mixer_small_patch16": "mixer_s16_224",
    "mlp_mixer_base_patch16": "mixer_b16_224",
    "convmixer_768_32": "convmixer_768_32",
    "mobilevit_xxs": "mobilevit_xxs",
    "mobilevit_xs": "mobilevit_xs",
    "mobilevit_s": "mobilevit_s",
}
SIZED = ("vit", "swin", "mlp_mixer")
CSV_COLUMNS = ("samples_per_sec", "step_time", "batch_size", "img_size")


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=DEFAULT_MODELS, help="names, or all")
    parser.add_argument("--torch-compile", action="store_true", help="compile PyTorch's side as well")
    parser.add_argument("--csv", type=Path, help="write timm's columns there")
    parser.add_argument("--peak", choices=("jax", "torch"), help=argparse.SUPPRESS)
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
    models = [*TORCHVISION, *TIMM] if arguments.models == ["all"] else arguments.models
    if arguments.peak:
        print(peak_bytes(SIDES[arguments.peak][arguments.tasks[0]], models[0], image, label))
        return

    rows = []
    for name in models:
        for task in arguments.tasks:
            runs, compile_s = {}, {}
            for side in SIDES:
                compiled = {"compiled": True} if side == "torch" and arguments.torch_compile else {}
                run = SIDES[side][task](name, image, label, **compiled)
                started = time.perf_counter()
                jax.block_until_ready(run())
                first_s = time.perf_counter() - started
                started = time.perf_counter()
                jax.block_until_ready(run())
                compile_s[side] = round(first_s - (time.perf_counter() - started), 1)
                runs[side] = run
            times = timing.measure(runs, warmup=1, rounds=arguments.rounds)
            del runs, run
            row = {
                "model": name,
                "task": task,
                **{f"{side}_images_per_s": round(arguments.batch / t.median_s, 1) for side, t in times.items()},
                "ratio": spread(times["torch"], times["jax"]),
                "compile_s": compile_s,
                "peak_mib": {side: peak_elsewhere(side, name, task, arguments) for side in SIDES},
            }
            rows.append(row)
            print(
                f"{name:24} {task:6} jax {row['jax_images_per_s']:7} torch {row['torch_images_per_s']:7} images/s  "
                f"ratio {row['ratio']['median']:.2f} ({row['ratio']['p10']:.2f} to {row['ratio']['p90']:.2f})  "
                f"peak {row['peak_mib']['jax']:.0f} and {row['peak_mib']['torch']:.0f} MiB  "
                f"compile {compile_s['jax']:.0f} s",
                file=sys.stderr,
                flush=True,
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
        "torch_compile": arguments.torch_compile,
        "rows": rows,
    }
    if arguments.csv:
        write_csv(arguments.csv, rows, arguments)
    publish(result, arguments.out)


def write_csv(path: Path, rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """A line a network and side, `train_*` and `infer_*` beside each other, as timm's benchmark writes them."""
    parameters = {entry["name"]: entry for entry in describe_models()}
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        for side in SIDES:
            line = lines.setdefault((row["model"], side), {"model": row["model"], "framework": side})
            rate = row[f"{side}_images_per_s"]
            values = (rate, round(1e3 * arguments.batch / rate, 3), arguments.batch, arguments.image_size)
            line |= {f"{row['task']}_{column}": value for column, value in zip(CSV_COLUMNS, values, strict=True)}
            line["param_count"] = round(parameters[row["model"]]["params"] / 1e6, 2)
    columns = list(dict.fromkeys(column for line in lines.values() for column in line))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(lines.values())


def peak_bytes(make: Callable, name: str, image: np.ndarray, label: np.ndarray) -> int:
    """Growth of this process's largest resident size over two steps, in bytes."""
    before = largest_resident_bytes()
    run = make(name, image, label)
    for _ in range(2):
        jax.block_until_ready(run())
    return largest_resident_bytes() - before


def largest_resident_bytes() -> int:
    """Of this program alone: what `getrusage` says begins with that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def peak_elsewhere(side: str, name: str, task: str, arguments: argparse.Namespace) -> float:
    """The same in a process of its own, in MiB."""
    command = [sys.executable, __file__, "--peak", side, "--models", name, "--tasks", task]
    command += ["--batch", str(arguments.batch), "--image-size", str(arguments.image_size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return round(int(done.stdout.splitlines()[-1]) / 2**20, 1)


def jax_model(name: str, image: np.ndarray) -> nnx.Module:
    """Our network in train mode."""

    def make() -> nnx.Module:
        return create_model(name, num_classes=CLASSES, image_size=image.shape[1], rngs=nnx.Rngs(0))

    graph = nnx.graphdef(nnx.eval_shape(make))
    return nnx.merge(graph, jax.jit(lambda: nnx.state(make()))())


def jax_train(name: str, image: np.ndarray, label: np.ndarray) -> Callable[[], Any]:
    """One training step on the state that the last one left."""
    graph, params, first_stats = nnx.split(jax_model(name, image), nnx.Param, ...)
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
    model = nnx.view(jax_model(name, image), use_running_average=True, raise_if_not_found=False)
    graph, state = nnx.split(model)
    compiled = jax.jit(lambda state, image: nnx.merge(graph, state)(image).logits)
    image_device = jnp.asarray(image)
    return lambda: compiled(state, image_device)


def torch_model(name: str, image: np.ndarray) -> tuple[Any, Any]:
    """The same network in torch and the images, both in channels-last."""
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))
    import torch_reference

    if name in TORCHVISION:
        make = getattr(torch_reference.import_torchvision().models, name)
        plain = {"aux_logits": False, "init_weights": True} if name in WITH_SIDE_CLASSIFIERS else {}
        model = make(num_classes=CLASSES, **plain)
    else:
        sized = {"img_size": image.shape[1]} if name.startswith(SIZED) else {}
        model = torch_reference.import_timm().create_model(TIMM[name], num_classes=CLASSES, **sized)
    channels_last = {"memory_format": torch.channels_last}
    return model.to(**channels_last), torch_reference.channels_first(image).contiguous(**channels_last)


def torch_train(name: str, image: np.ndarray, label: np.ndarray, compiled: bool = False) -> Callable[[], Any]:
    """One training step."""
    import torch

    model, batch = torch_model(name, image)
    forward = torch.compile(model) if compiled else model
    truth = torch.from_numpy(label)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)

    def run() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(forward(batch), truth)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def torch_infer(name: str, image: np.ndarray, label: np.ndarray, compiled: bool = False) -> Callable[[], Any]:
    """The forward pass in evaluation mode."""
    import torch

    model, batch = torch_model(name, image)
    model.eval()
    forward = torch.compile(model) if compiled else model

    def run() -> None:
        with torch.inference_mode():
            forward(batch)

    return run


SIDES = {"jax": {"train": jax_train, "infer": jax_infer}, "torch": {"train": torch_train, "infer": torch_infer}}


if __name__ == "__main__":
    main()
