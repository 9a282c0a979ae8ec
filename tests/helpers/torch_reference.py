"""Comparison of networks with torch: the weights of a torch model in ours, and checks of outputs and of a step."""

import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from mtsccd_jax.models import MODELS, Settings, create_model
from mtsccd_jax.models.layers.dropout import Dropout
from mtsccd_jax.models.network import ImageNetwork
from mtsccd_jax.models.weights.mapping import Dialect, slots


def import_torchvision() -> ModuleType:
    """Import torchvision, also beside a CPU-only torch, where the declarations of its CUDA operators fail."""
    import torch

    register_fake = torch.library.register_fake

    def register_fake_elsewhere(op: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(op, str) and op.startswith("torchvision::"):
            return lambda function: function
        return register_fake(op, *args, **kwargs)

    torch.library.register_fake = register_fake_elsewhere
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torchvision
    finally:
        torch.library.register_fake = register_fake
    return torchvision


def import_timm() -> ModuleType:
    """Import timm, which imports torchvision."""
    import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm
    return timm


def arrays(torch_model: Any) -> dict[str, np.ndarray]:
    """Return every parameter and statistic of a torch model by name, in its memory, without counts and fixed tables."""
    return {
        name: value.detach().numpy()
        for name, value in torch_model.state_dict().items()
        if value.dtype.is_floating_point
    }


def with_weights(torch_model: Any, name: str, names: Dialect | None = None, **arguments: Any) -> ImageNetwork:
    """Return our network of a name with the weights of a torch model, which must have the same arrays.

    `names` is the dialect of the torch model, by default the first of the table; `arguments` are `create_model`'s.
    """
    model: ImageNetwork = nnx.eval_shape(lambda: create_model(name, **arguments, rngs=nnx.Rngs(0)))
    source = arrays(torch_model)
    target = {slot.name: slot for slot in slots(model, names or MODELS[name].names[0])}
    assert source.keys() == target.keys()
    for name, slot in target.items():
        value = slot.to_ours(source[name])
        assert slot.variable.shape == value.shape, name
        slot.variable.set_value(jnp.array(value))  # a copy, which training in torch does not change
    return model


def randomize(torch_model: Any, seed: int) -> None:
    """Draw every parameter and statistic of a torch model, also those that are zero or one at first."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in torch_model.state_dict().items():
            if name.endswith(("running_mean", "bias", "cls_token")):
                value.normal_(0, 0.1, generator=generator)
            elif name.endswith("running_var") or (name.endswith("weight") and value.ndim == 1):
                value.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith("weight") and value.ndim == 2:
                value.normal_(0, value.shape[1] ** -0.5, generator=generator)


def narrowed(torch_model: Any, width: float, num_classes: int) -> Any:
    """Return the model with fewer channels in all layers, but the same image and classes: quick to compile."""
    import torch

    def fewer(channels: int) -> int:
        return channels if channels in (3, num_classes) else round(channels * width)

    for module in list(torch_model.modules()):
        for name, part in module.named_children():
            if isinstance(part, torch.nn.Conv2d):
                part = torch.nn.Conv2d(
                    fewer(part.in_channels),
                    fewer(part.out_channels),
                    part.kernel_size,
                    part.stride,
                    part.padding,
                    bias=part.bias is not None,
                )
            elif isinstance(part, torch.nn.BatchNorm2d):
                part = torch.nn.BatchNorm2d(fewer(part.num_features), part.eps)
            elif isinstance(part, torch.nn.Linear):
                part = torch.nn.Linear(fewer(part.in_features), fewer(part.out_features))
            setattr(module, name, part)
    return torch_model


def rectified(torch_model: Any, seed: int = 0) -> Any:
    """Return the model with convolutions drawn so that the signal of a deep rectified network keeps its scale."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in torch_model.parameters():
            if value.ndim == 4:
                value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
    return torch_model


def channels_first(image_bhwc: np.ndarray) -> Any:
    """Return the images as a torch tensor (b, c, h, w)."""
    import torch

    return torch.from_numpy(image_bhwc.transpose(0, 3, 1, 2))


def largest(array: np.ndarray) -> np.floating:
    """Return the largest magnitude without an array of magnitudes, which for a large layer takes a second; or nan."""
    return max(array.max(), -array.min())


def relative_error(ours: Any, reference: np.ndarray) -> float:
    """Return the largest difference over the largest magnitude of the reference."""
    return float(largest(np.asarray(ours) - reference) / largest(reference))


# The compiler's expensive passes take minutes for a deep network and change results by rounding only.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
# For a program that computes longer than it takes to compile.
LESS_QUICK = QUICK | {"xla_backend_optimization_level": 1}


def check_evaluation(
    name: str,
    reference: Any,
    image_size: int | tuple[int, int],
    *,
    features: str,
    feature_map: Callable[[dict[str, Any]], Any],
    names: Dialect | None = None,
    tolerance: float = 1e-4,
    **arguments: Any,
) -> None:
    """Check that logits, features and feature map in evaluation equal the reference's with the same random weights.

    The outputs of the reference's modules are found by name, their inputs by name and ":in". `features` is such a name;
    `feature_map` takes the dict and returns (b, h, w, c).
    """
    import torch

    reference = reference.eval()
    randomize(reference, seed=0)
    seen: dict[str, Any] = {}
    for part, module in reference.named_modules():
        module.register_forward_hook(
            lambda _, inputs, output, part=part: seen.update(
                {part: output, f"{part}:in": inputs[0] if inputs else None}
            )
        )
    height, width = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    channels = arguments.get("in_channels", 3)
    image = np.random.default_rng(0).normal(size=(2, height, width, channels)).astype(np.float32)
    with torch.no_grad():
        logits = reference(channels_first(image)).numpy()
    arguments = {"num_classes": logits.shape[-1], "image_size": height} | arguments
    model = with_weights(reference, name, names, **arguments)
    evaluated = nnx.view(model, use_running_average=True, raise_if_not_found=False)

    output = jax.jit(lambda model, image: model(image), compiler_options=QUICK)(evaluated, image)

    assert relative_error(output.logits, logits) < tolerance
    assert relative_error(output.features, seen[features].flatten(1).numpy()) < tolerance
    assert relative_error(output.feature_map, feature_map(seen).numpy()) < tolerance


def check_stochastic_depth(name: str, reference: Any, image_size: int, settings: Settings) -> None:
    """Check the stochastic depth rates of blocks against timm's, and the logits where the same examples skip blocks.

    `reference` is a network of timm with the `drop_path_rate` of the settings; it is made to skip what ours skips.
    """
    import torch

    reference = reference.eval()
    randomize(reference, seed=0)
    examples = 8
    image = np.random.default_rng(0).normal(size=(examples, image_size, image_size, 3)).astype(np.float32)
    model = with_weights(reference, name, num_classes=10, image_size=image_size, settings=settings)
    keys = jax.random.split(jax.random.key(0), examples)
    # Salts of a block grow in the order in which its branches are computed.
    drops = [(path[:-1], node.salt, node) for path, node in nnx.iter_graph(model) if isinstance(node, Dropout)]
    assert len({salt for _, salt, _ in drops}) == len(drops)
    drops = [drop for _, _, drop in sorted(drops, key=lambda item: item[:2]) if drop.rate > 0]
    pending = iter(drops)

    def drop_as_ours(module: Any) -> Callable[[Any], Any]:
        def forward(x: Any) -> Any:
            drop = next(pending)
            assert drop.whole_example
            assert abs(drop.rate - module.drop_prob) < 1e-6
            scale = np.asarray(nnx.view(drop, example_keys=keys)(jnp.ones((examples, 1))))[:, 0]
            # MobileViT has a row for the tokens at each place of the patches; the rows of an image are consecutive.
            scale = np.repeat(scale, len(x) // examples).reshape(-1, *(1,) * (x.ndim - 1))
            return x * torch.from_numpy(scale)

        return forward

    with torch.no_grad():
        whole = reference(channels_first(image)).numpy()
    for part, module in reference.named_modules():
        if type(module).__name__ == "DropPath":
            # Ours does not skip a block of MobileViT without a shortcut: its output would be zero.
            has_shortcut = getattr(reference.get_submodule(part.rpartition(".")[0]), "shortcut", module) is not None
            module.forward = drop_as_ours(module) if has_shortcut else lambda x: x
    with torch.no_grad():
        logits = reference(channels_first(image)).numpy()
    assert next(pending, None) is None
    assert relative_error(whole, logits) > 1e-2

    dropping = nnx.view(model, use_running_average=True, example_keys=keys, raise_if_not_found=False)
    ours = jax.jit(lambda model, image: model(image).logits, compiler_options=QUICK)(dropping, image)
    assert relative_error(ours, logits) < 1e-4


LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4


def check_training_step(
    name: str,
    reference: Any,
    image_size: int,
    *,
    side_weight: float = 0.0,
    tolerance: float = 1e-3,
    **arguments: Any,
) -> None:
    """Check the loss and the change of every parameter and running statistic in one SGD step.

    Both sides compute in float64. In float32 rounding moves some activation across the kink of a rectifier, and a
    gradient jumps by a percent, in torch as well. `reference` has no dropout; `side_weight` is the weight of the loss
    of each of its side classifiers.
    """
    import torch

    reference = reference.double().train()
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, image_size, image_size, arguments.get("in_channels", 3)))
    before = {part: array.copy() for part, array in arrays(reference).items()}
    num_classes = arguments.setdefault("num_classes", 10)
    label = rng.integers(0, num_classes, 2)
    with jax.enable_x64(True):
        model = with_weights(reference, name, image_size=image_size, dtype=jnp.float64, **arguments)
        loss, change = jax_step(name, model, image, label)

    optimizer = torch.optim.SGD(reference.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)
    output = reference(channels_first(image))
    logits, *sides = output if isinstance(output, tuple) else (output,)
    cross_entropy, label_torch = torch.nn.functional.cross_entropy, torch.from_numpy(label)
    loss_torch = cross_entropy(logits, label_torch) + side_weight * sum(cross_entropy(x, label_torch) for x in sides)
    loss_torch.backward()
    optimizer.step()

    assert abs(loss - loss_torch.item()) < tolerance * abs(loss_torch.item())
    wrong = {part: relative_error(change[part], after - before[part]) for part, after in arrays(reference).items()}
    assert not {part: error for part, error in wrong.items() if not error < tolerance}


def jax_step(name: str, model: nnx.Module, image: np.ndarray, label: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    """Return the loss, and the change of every array of the network under its published name."""
    graph, params, statistics = nnx.split(model, nnx.Param, ...)
    optimizer = optax.chain(optax.add_decayed_weights(WEIGHT_DECAY), optax.sgd(LEARNING_RATE, MOMENTUM))

    def step(params: nnx.State, statistics: nnx.State) -> tuple[jax.Array, nnx.State, nnx.State]:
        def loss_and_statistics(params: nnx.State) -> tuple[jax.Array, nnx.State]:
            model = nnx.merge(graph, params, statistics, copy=True)
            output = model(jnp.asarray(image))
            losses = [
                weight * optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
                for logits, weight in [
                    (output.logits, 1.0),
                    *((logits, output.auxiliary_weight) for logits in output.auxiliary),
                ]
            ]
            return sum(losses), nnx.state(model, nnx.BatchStat)

        (loss, after), gradients = jax.value_and_grad(loss_and_statistics, has_aux=True)(params)
        updates, _ = optimizer.update(gradients, optimizer.init(params), params)
        return loss, updates, jax.tree.map(jnp.subtract, after, statistics)

    options = QUICK if image.shape[1] <= 224 else LESS_QUICK
    loss, updates, change = jax.jit(step, compiler_options=options)(params, statistics)
    # A network of the changes gives them their published names.
    changed = nnx.merge(graph, updates, change)
    return float(loss), {slot.name: slot.to_published() for slot in slots(changed, MODELS[name].names[0])}
