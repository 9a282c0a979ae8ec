"""Published weights <-> our modules.

The `names` of a family give the published names of its parts; `LAYOUTS` gives the names and the axes of the arrays in
each kind of part. Reading, writing and the report of what does not fit follow from these two.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.layers.convolution import Conv
from mtsccd_jax.models.layers.head import Head, head_names
from mtsccd_jax.models.layers.normalization import BatchNorm
from mtsccd_jax.models.layers.transformer import LayerNorm
from mtsccd_jax.models.network import AUXILIARY, HEAD, Names, Resampled
from mtsccd_jax.models.weights.files import WeightFile

# Yields the names of one publisher for the parts of a network.
Dialect = Callable[[Any], Names]


@dataclass(frozen=True)
class Layout:
    """One array of a kind of part: torch's name of it, our attribute, and the published axes in our order."""

    published: str
    ours: str
    axes: tuple[int, ...] = (0,)

    def to_ours(self, value: np.ndarray) -> np.ndarray:
        """Return a published array with its axes in our order; a convolution of one map may stand for a linear layer.

        An array with fewer axes is of another kind of part and stays as it is.
        """
        if value.ndim > len(self.axes):
            value = value.reshape(value.shape[0], -1)
        return value.transpose(self.axes) if value.ndim == len(self.axes) else value

    def to_published(self, value: np.ndarray) -> np.ndarray:
        """Return one of our arrays with its axes in torch's order."""
        return value.transpose(np.argsort(self.axes))


LAYOUTS: dict[type, tuple[Layout, ...]] = {
    Conv: (Layout("weight", "kernel", (2, 3, 1, 0)), Layout("bias", "bias")),
    nnx.Linear: (Layout("weight", "kernel", (1, 0)), Layout("bias", "bias")),
    LayerNorm: (Layout("weight", "scale"), Layout("bias", "bias")),
    BatchNorm: (
        Layout("weight", "scale"),
        Layout("bias", "bias"),
        Layout("running_mean", "mean"),
        Layout("running_var", "var"),
    ),
}


# Buffers in published files that follow from the shape of the network.
FIXED = ("num_batches_tracked", "relative_position_index", "attn_mask")
# Side classifiers in the files of torchvision, which a network of ours may be without.
SIDE_CLASSIFIERS = ("aux1.", "aux2.", "AuxLogits.")
# The number of names of each kind of misfit in a message.
NAMED = 3

Path = tuple[Any, ...]


@dataclass(frozen=True)
class Slot:
    """One array of a network: its published name, and our variable and its path."""

    name: str
    part: str  # the published name of its part, with which `name` begins
    path: Path
    variable: nnx.Variable[Any]
    layout: Layout | None  # None where the published one equals ours

    def to_ours(self, value: np.ndarray) -> np.ndarray:
        """Return a published array in our layout."""
        return value if self.layout is None else self.layout.to_ours(value)

    def to_published(self) -> np.ndarray:
        """Return our array in the published layout."""
        return np.asarray(self.in_published_layout(np.asarray(self.variable[...])))

    def in_published_layout(self, value: Any) -> Any:
        """Return an array in our layout, of NumPy or JAX, in the published one."""
        return value if self.layout is None else self.layout.to_published(value)


def slots(network: nnx.Module, names: Dialect) -> Iterator[Slot]:
    """Yield every array of a network in the order of a dialect."""
    paths = {id(node): path for path, node in nnx.iter_graph(network) if isinstance(node, nnx.Variable)}
    for name, part in names(network):
        if isinstance(part, nnx.Variable):
            yield Slot(name, name, paths[id(part)], part, None)
            continue
        layers = head_names(name, part) if isinstance(part, Head) else [(name, part)]
        for layer_name, layer in layers:
            for layout in LAYOUTS[type(layer)]:
                if (variable := getattr(layer, layout.ours)) is not None:
                    separator = "" if layer_name.endswith("_") else "."  # torch's attention has `in_proj_weight`
                    yield Slot(
                        f"{layer_name}{separator}{layout.published}", name, paths[id(variable)], variable, layout
                    )


def published(network: nnx.Module, names: Dialect) -> dict[str, np.ndarray]:
    """Return the arrays of a network under their published names and in torch's layout."""
    return {slot.name: slot.to_published() for slot in slots(network, names)}


@dataclass(frozen=True)
class Fitted:
    """Published weights for a network of ours."""

    arrays: dict[Path, np.ndarray]  # float32; all other arrays of the network keep their random initial values
    notes: list[str]  # one for each array that was adapted and each part that keeps its initial values


def fit(network: nnx.Module, dialects: Sequence[Dialect], weights: WeightFile) -> Fitted:
    """Fit the arrays of a weight file to a network, which may be abstract (made under `nnx.eval_shape`).

    The dialect and the prefix of all names in the file are those that match most names. A head for other classes or
    with another hidden layer keeps all its initial values. The first convolution is adapted to other channels, and
    position embeddings and relative position tables to another image size. The notes report all this.

    Raises:
        InputError: arrays are unknown, missing or of another shape, or hold values that are not finite; the message
            counts them and names the first.
    """
    found = {name: value for name, value in weights.arrays.items() if not name.endswith(FIXED)}
    wanted, prefix = _best_match(network, dialects, found)
    outside = [name for name in found if not name.startswith(prefix)]
    found = {name: value for name, value in found.items() if name.startswith(prefix)}
    check_finite(weights.source, found)
    if not any(slot.path[0] == AUXILIARY for slot in wanted):
        found = {name: value for name, value in found.items() if not name.startswith(SIDE_CLASSIFIERS, len(prefix))}
    first = next(slot for slot in wanted if slot.variable.ndim == 4)
    fitted = Fitted({}, [f"{len(outside)} arrays outside {prefix}* are left out ({_few(outside)})"] if outside else [])
    missing: list[str] = []
    misshaped: list[str] = []
    at_random: dict[str, str] = {}
    for slot in wanted:
        part, shape = str(slot.path[0]), slot.variable.shape
        stored = found.pop(prefix + slot.name, None)
        if stored is None:
            if part in (HEAD, AUXILIARY):
                at_random.setdefault(part, "none there")
            else:
                missing.append(slot.name)
            continue
        value = slot.to_ours(stored)
        if value.shape != shape:
            if part in (HEAD, AUXILIARY):
                outputs = "hidden units" if slot.path[:2] == (HEAD, "hidden") else "classes"
                at_random.setdefault(part, f"{value.shape[-1]} {outputs} there, {shape[-1]} here")
                continue
            adapted = _adapted(slot, value, is_first=slot is first)
            if adapted is None:
                misshaped.append(f"{slot.name} {stored.shape}")
                continue
            fitted.notes.append(f"{slot.name}: adapted from {value.shape} to {shape}")
            value = adapted
        fitted.arrays[slot.path] = np.ascontiguousarray(value, np.float32)
    if HEAD in at_random:
        at_random[HEAD] = _other_head(wanted, prefix, found) or at_random[HEAD]
        for path in [path for path in fitted.arrays if path[0] == HEAD]:
            del fitted.arrays[path]
    fitted.notes.extend(f"{part}: {why}; begins at random" for part, why in at_random.items())
    misfits = [
        f"{len(names)} {what} ({_few(names)})"
        for what, names in (("missing", missing), ("unknown", list(found)), ("of another shape", misshaped))
        if names
    ]
    if misfits:
        raise InputError(f"{weights.source}: weights of another network: {'; '.join(misfits)}")
    return fitted


def _few(names: Sequence[str]) -> str:
    """Return the first names, joined."""
    return ", ".join([*names[:NAMED], *(["..."] if len(names) > NAMED else [])])


def check_finite(source: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise InputError where arrays hold values that are not finite in float32, or variances below zero."""
    wrong = {}
    for name, value in arrays.items():
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite
            sound = np.isfinite(value.astype(np.float32, copy=False))
        if name.endswith("running_var"):
            sound &= value >= 0
        if not sound.all():
            wrong[name] = f"{name}: {np.count_nonzero(~sound)} of {value.size} values"
    if wrong:
        more = f" and {len(wrong) - NAMED} arrays more" if len(wrong) > NAMED else ""
        raise InputError(
            f"{source}: weights that are not finite, or variances below zero ({'; '.join(list(wrong.values())[:NAMED])}"
            f"{more}): their training went wrong, or the file is damaged; give other weights"
        )


def _best_match(
    network: nnx.Module, dialects: Sequence[Dialect], found: Mapping[str, np.ndarray]
) -> tuple[list[Slot], str]:
    """Return the arrays of the network in the dialect that matches most of the names found, and their prefix.

    Where a file holds the network twice, averaged weights come first.
    """
    candidates = []
    for dialect in dialects:
        wanted = list(slots(network, dialect))
        first = wanted[0].name
        prefixes = {name.removesuffix(first) for name in found if name == first or name.endswith(f".{first}")} or {""}
        candidates += [
            (sum(prefix + slot.name in found for slot in wanted), wanted, prefix) for prefix in sorted(prefixes)
        ]
    _, wanted, prefix = max(candidates, key=lambda candidate: (candidate[0], "ema" in candidate[2]))
    return wanted, prefix


def _other_head(wanted: list[Slot], prefix: str, found: dict[str, np.ndarray]) -> str | None:
    """Remove a head from `found` where only one side has a hidden layer, and return why it does not fit."""
    head = [slot for slot in wanted if slot.path[0] == HEAD]
    has_hidden = any(slot.path[1] == "hidden" for slot in head)
    layers = ("",) if has_hidden else (".hidden", ".output")
    other = [f"{prefix}{head[0].part}{layer}.{array}" for layer in layers for array in ("weight", "bias")]
    if not found.keys() & set(other):
        return None
    for name in other:
        found.pop(name, None)
    return "no hidden layer there" if has_hidden else "a hidden layer there, none here"


def _adapted(slot: Slot, value: np.ndarray, is_first: bool) -> np.ndarray | None:
    """Return the value in the shape of our array, or None where that is impossible."""
    shape = slot.variable.shape
    if isinstance(slot.variable, Resampled):
        return slot.variable.resampled(value, shape)
    if is_first and value.shape[:2] == shape[:2] and value.shape[3] == shape[3]:
        return adapt_channels(value, shape[2])
    return None


def adapt_channels(kernel_hwio: np.ndarray, channels: int) -> np.ndarray:
    """Adapt the first kernel to another number of channels, as timm does.

    A single channel takes the sum over the channels of the kernel. More channels repeat them in turn, scaled so that an
    image with equal channels gives the same output.
    """
    if channels == 1:
        return np.asarray(kernel_hwio.sum(axis=2, keepdims=True))
    present = kernel_hwio.shape[2]
    adapted: np.ndarray = kernel_hwio[:, :, np.arange(channels) % present] * (present / channels)
    return adapted
