"""The same networks in torch, with weights that travel: what the models are compared with, here and in benchmarks."""

import re
import warnings
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from mtsccd_jax.models import create_model

Path = tuple[str | int, ...]

# Where the parts of torchvision's ResNet and timm's ViT are in ours.
PARTS = (
    (r"conv1", ("stem", "conv")),
    (r"bn1", ("stem", "norm")),
    (r"fc|head", ("head",)),
    (r"patch_embed\.proj", ("patch_embedding", "linear")),
    (r"cls_token", ("class_token",)),
    (r"pos_embed", ("position_embedding",)),
    (r"norm", ("norm",)),
)
BLOCK_PARTS = {
    "conv1": ("first", "conv"),
    "bn1": ("first", "norm"),
    "conv2": ("second", "conv"),
    "bn2": ("second", "norm"),
    "conv3": ("third", "conv"),
    "bn3": ("third", "norm"),
    "downsample.0": ("shortcut", "conv"),
    "downsample.1": ("shortcut", "norm"),
    "norm1": ("norm_attention",),
    "attn.qkv": ("attention", "qkv"),
    "attn.proj": ("attention", "projection"),
    "norm2": ("norm_mlp",),
    "mlp.fc1": ("mlp", "expand"),
    "mlp.fc2": ("mlp", "contract"),
}
LEAVES = {"bias": "bias", "running_mean": "mean", "running_var": "var"}


def import_torchvision() -> ModuleType:
    """torchvision, also beside a CPU-only torch, where the declarations of its CUDA operators would fail."""
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
    """timm, which imports torchvision."""
    import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm
    return timm


def jax_path(name: str) -> Path:
    """Where the array that torch calls `name` is in our model."""
    module, _, leaf = name.rpartition(".")
    if block := re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", module):
        path: Path = ("stages", int(block[1]) - 1, int(block[2]), *BLOCK_PARTS[block[3]])
    elif block := re.fullmatch(r"blocks\.(\d+)\.(.+)", module):
        path = ("blocks", int(block[1]), *BLOCK_PARTS[block[2]])
    else:
        path = next(path for pattern, path in PARTS if re.fullmatch(pattern, module or name))
    if not module:
        return path
    is_norm = path[-1] in ("norm", "norm_attention", "norm_mlp")
    return (*path, ("scale" if is_norm else "kernel") if leaf == "weight" else LEAVES[leaf])


def jax_array(name: str, value: np.ndarray) -> np.ndarray:
    """The array that torch calls `name`, with the axes in our order."""
    if name == "patch_embed.proj.weight":
        return value.transpose(2, 3, 1, 0).reshape(-1, value.shape[0])
    if name in ("cls_token", "pos_embed"):
        return value.reshape(value.shape[1:] if name == "pos_embed" else -1)
    return {4: lambda v: v.transpose(2, 3, 1, 0), 2: np.transpose}.get(value.ndim, np.asarray)(value)


def arrays(torch_model: Any) -> dict[Path, np.ndarray]:
    """A copy of every parameter and statistic of a torch model, under our paths and with our axes."""
    return {
        jax_path(name): jax_array(name, value.detach().numpy()).copy()
        for name, value in torch_model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def with_weights(torch_model: Any, name: str, **arguments: Any) -> nnx.Module:
    """Our model of that name with the weights of torch's, every one of them and no other."""
    abstract = nnx.eval_shape(lambda: create_model(name, **arguments, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(abstract)
    target = dict(nnx.to_flat_state(state))
    source = arrays(torch_model)
    assert source.keys() == target.keys()
    for path, value in source.items():
        assert target[path].shape == value.shape, path
        target[path] = target[path].replace(jnp.asarray(value, jnp.float32))
    return nnx.merge(graph, nnx.from_flat_state(target))


def randomize(torch_model: Any, seed: int) -> None:
    """Make every parameter and statistic of a torch model count, also those that begin as zeros and ones."""
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


def channels_first(image_bhwc: np.ndarray) -> Any:
    """A torch tensor of the same images, (b, c, h, w)."""
    import torch

    return torch.from_numpy(image_bhwc.transpose(0, 3, 1, 2))


def relative_error(ours: Any, reference: np.ndarray) -> float:
    """Largest difference over the largest magnitude of the reference."""
    return float(np.abs(np.asarray(ours) - reference).max() / np.abs(reference).max())
