"""The two sides of `compare_torch.py`: a network of ours with the engine's own steps, and the same in PyTorch."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from torch_device import torch_device, wait_for_torch

from mtsccd_jax.engine.memory import program_bytes
from mtsccd_jax.engine.parallel import make_parallel
from mtsccd_jax.models import create_model
from mtsccd_jax.models.inception import googlenet, inception_v3
from mtsccd_jax.perf.flops import count_macs
from mtsccd_jax.perf.profile.layers import jaxpr_layers
from mtsccd_jax.perf.profile.overhead import Chain, count_operations, idle_step
from mtsccd_jax.perf.profile.workload import Work, Workload, scene_workload
from mtsccd_jax.perf.records import Scalar
from mtsccd_jax.perf.timing import Timing
from mtsccd_jax.recipes.config import Data, Engine, Model, Optim, Recipe

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4

# The networks of torchvision, and timm's names of the others.
TORCHVISION = (
    *("alexnet", "vgg11", "vgg16", "vgg19", "googlenet", "inception_v3", "efficientnet_b0"),
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "densenet121", "densenet169", "densenet201"),
)
# The weight of side classifiers in the loss; torchvision leaves it to its training script.
SIDE_WEIGHT = {"googlenet": googlenet.AUXILIARY_WEIGHT, "inception_v3": inception_v3.AUXILIARY_WEIGHT}
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


@dataclass(frozen=True)
class Conditions:
    """The conditions of both sides; `torch_compile` is "none" or a mode of `torch.compile`."""

    batch: int
    image_size: int
    classes: int
    precision: Literal["float32", "bfloat16"]
    steps: int
    torch_compile: str


@dataclass(frozen=True)
class Side:
    """The work of one side.

    Attributes:
        run: Does a round.
        compile_s: Seconds of compiling; None where the first round compiles.
        device_bytes: Returns, after a round, the bytes of a GPU's memory that it takes.
        details: Other facts of the side.
        beside: Programs without work that take turns with it.
        overheads: Makes the overheads of a step from the timings of `beside`.
    """

    run: Callable[[], Any]
    compile_s: float | None
    device_bytes: Callable[[], int | None]
    details: dict[str, Scalar] = field(default_factory=dict)
    beside: dict[str, Callable[[], Any]] = field(default_factory=dict)
    overheads: Callable[[dict[str, Timing]], dict[str, Scalar]] = field(default=lambda timings: {})


def jax_workload(name: str, conditions: Conditions) -> Workload:
    """Return our network with the engine's own steps, on images that are only normalised."""
    recipe = Recipe(
        name="compare_torch",
        summary="the step that PyTorch's side takes",
        data=Data(image_size=conditions.image_size, flip=False, turn=False),
        model=Model(name),
        optim=Optim(learning_rate=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, schedule="constant"),
        engine=Engine(batch_size=conditions.batch, dtype=conditions.precision),
    )
    return scene_workload(recipe, make_parallel("jit", jax.devices()[:1]), conditions.classes)


def jax_side(work: Work, name: str, conditions: Conditions) -> Side:
    """Return our side: the engine's steps, and beside them programs with none of their work."""
    workload, steps = jax_workload(name, conditions), conditions.steps
    window = workload.window(work, steps)
    state, batch = workload.network.abstract(), dict(workload.batch)
    step = workload.train_step if work == "train" else workload.embed_step
    layers = jaxpr_layers(jax.make_jaxpr(step)(state, batch), workload.parallel.platform)
    if work == "train":
        idle = replace(workload, train_step=idle_step(step, state, batch))
    else:
        idle = replace(workload, embed_step=idle_outputs(step, state, batch))
    chain = Chain(jax.devices()[0])
    details: dict[str, Scalar] = {
        "macs": count_macs(workload.embed_step, state, workload.batch_shapes(1)),
        "step_flops": 2 * sum(layer.macs for layer in layers),
        "step_bytes": sum(layer.bytes for layer in layers),
        "step_operations": count_operations(window.compiled.as_text() or "") // window.steps_per_call,
    }
    beside = {"idle": idle.window(work, steps).run, "chain": chain.run, "single": chain.run_single}

    def overheads(timings: dict[str, Timing]) -> dict[str, Scalar]:
        return {
            "dispatch_s": timings["idle"].median_s / steps,
            "operation_s": chain.operation_s(timings["chain"], timings["single"]),
        }

    return Side(window.run, window.compile_s, lambda: program_bytes(window.compiled), details, beside, overheads)


def idle_outputs(step: Callable[..., Any], state: Any, batch: Any) -> Callable[..., Any]:
    """Return a step with the results of an inference step, and none of its work."""
    shapes = jax.eval_shape(step, state, batch)
    return lambda state, batch: jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)


def torch_model(name: str, conditions: Conditions) -> Any:
    """Return the same network in PyTorch, on the device and in channels-last."""
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
    import torch_reference

    if name in TORCHVISION:
        make = getattr(torch_reference.import_torchvision().models, name)
        sides = {}
        if name in SIDE_WEIGHT:
            size = conditions.image_size
            ours: Any = nnx.eval_shape(lambda: create_model(name, num_classes=1, image_size=size, rngs=nnx.Rngs(0)))
            sides = {"aux_logits": bool(ours.auxiliary), "init_weights": True}
        model = make(num_classes=conditions.classes, **sides)
    else:
        sized = {"img_size": conditions.image_size} if name.startswith(SIZED) else {}
        model = torch_reference.import_timm().create_model(TIMM[name], num_classes=conditions.classes, **sized)
    return model.to(torch_device(), memory_format=torch.channels_last)


def torch_batch(conditions: Conditions) -> tuple[Any, Any]:
    """Return normalised images in channels-last and their classes, on the device."""
    import torch

    device = torch_device()
    random = np.random.default_rng(0)
    shape = (conditions.batch, 3, conditions.image_size, conditions.image_size)
    image = torch.from_numpy(random.normal(size=shape).astype(np.float32))
    label = torch.from_numpy(random.integers(0, conditions.classes, conditions.batch))
    return image.to(device, memory_format=torch.channels_last), label.to(device)


def torch_compiled(model: Any, mode: str) -> Any:
    """Return the model compiled by `torch.compile` in a mode, or as it is for "none"."""
    import torch

    return model if mode == "none" else torch.compile(model, mode=mode)


def torch_train(name: str, conditions: Conditions) -> Side:
    """Return some training steps; bfloat16 is automatic mixed precision, with parameters in float32 as ours are."""
    import torch

    device = torch_device()
    model, (image, truth) = torch_model(name, conditions), torch_batch(conditions)
    forward = torch_compiled(model, conditions.torch_compile)
    fused = {"fused": True} if device.type == "cuda" else {}
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, **fused)
    mixed = conditions.precision == "bfloat16"

    def run() -> float:
        for _ in range(conditions.steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                loss = torch_loss(forward(image), truth, SIDE_WEIGHT.get(name, 0.0))
            loss.backward()
            optimizer.step()
        wait_for_torch()
        return loss.item()

    return Side(run, None, torch.cuda.max_memory_allocated)


def torch_loss(output: Any, truth: Any, side_weight: float) -> Any:
    """Return the cross-entropy of a network's scores, and of those of its side classifiers where it has any."""
    from torch.nn.functional import cross_entropy

    if not isinstance(output, tuple):
        return cross_entropy(output, truth)
    logits, *sides = output
    return cross_entropy(logits, truth) + side_weight * sum(
        cross_entropy(side, truth) for side in sides if side is not None
    )


def torch_infer(name: str, conditions: Conditions) -> Side:
    """Return some forward passes in evaluation mode; bfloat16 includes the parameters, as is fastest in PyTorch."""
    import torch

    dtype = torch.bfloat16 if conditions.precision == "bfloat16" else torch.float32
    model = torch_model(name, conditions).eval().to(dtype)
    image = torch_batch(conditions)[0].to(dtype)
    forward = torch_compiled(model, conditions.torch_compile)

    def run() -> None:
        with torch.inference_mode():
            for _ in range(conditions.steps):
                forward(image)
        wait_for_torch()

    return Side(run, None, torch.cuda.max_memory_allocated)


SIDES: dict[str, dict[str, Callable[[str, Conditions], Side]]] = {
    "jax": {"train": partial(jax_side, "train"), "infer": partial(jax_side, "infer")},
    "torch": {"train": torch_train, "infer": torch_infer},
}
