"""What a run is made of: frozen dataclasses, and the typed override `--set part.key=value`."""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from mtsccd_jax.errors import InputError, nearest

Objective = Literal["kappa", "oa", "f1", "balanced"]


@dataclass(frozen=True)
class Data:
    """Where scenes come from and how they become model input.

    Exactly one of `dataset` (TFDS), `folder` and `pairs` names the input; `pair_dataset` is the TFDS data set of
    bi-temporal pairs that goes with `dataset`. Sizes are in pixels, `mean` and `std` per RGB channel in [0, 1] units
    (defaults: ImageNet's, which every published network of the paper expects).
    """

    dataset: str | None = "mtsccd_lusc"
    pair_dataset: str | None = "mtsccd_lucd"
    config: str = "official"
    data_dir: str | None = None
    folder: str | None = None
    pairs: str | None = None
    changed_above: float = 0.01
    image_size: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    crop_padding: int = 0
    flip: bool = True
    turn: bool = True
    color_jitter: float = 0.0
    input: Literal["auto", "resident", "stream"] = "auto"
    skip_bad: bool = False


@dataclass(frozen=True)
class Model:
    """The network; `width` multiplies its channels.

    `init` names the weights it begins with: a .safetensors or .pth file, or `hf:OWNER/NAME[@REVISION][:FILE]`; None for
    random ones.
    """

    name: str = "resnet18"
    width: float = 1.0
    init: str | None = None


@dataclass(frozen=True)
class Optim:
    """The optimiser and its schedule; `freeze` names the part whose parameters stay as they were initialised.

    `freeze` is a prefix of parameter paths ("stem", "stages.0") or "backbone" (everything but the classifier).
    """

    name: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: float = 0.0
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    freeze: tuple[str, ...] = ()


@dataclass(frozen=True)
class Engine:
    """How the steps run: global batch, epochs, parallelism, compute type, and how often progress is kept."""

    batch_size: int = 64
    epochs: int = 30
    eval_batch_size: int = 128
    parallel: Literal["jit", "pmap"] = "jit"
    dtype: Literal["float32", "bfloat16"] = "float32"
    validate: bool = True
    checkpoint_every_s: float = 120.0


@dataclass(frozen=True)
class Change:
    """Change detection by feature distance (CFSM): how distances are measured and the threshold is chosen."""

    metric: Literal["euclidean", "cosine"] = "euclidean"
    unit_length: bool = True
    objective: Objective = "kappa"
    resamples: int = 1000


@dataclass(frozen=True)
class Recipe:
    """The whole river: data, network, optimiser, engine and the change-detection protocol of one experiment."""

    name: str
    summary: str
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    optim: Optim = field(default_factory=Optim)
    engine: Engine = field(default_factory=Engine)
    change: Change = field(default_factory=Change)
    seed: int = 0


# Where things lie and how fast they are read does not change a result: these keys are no part of a recipe's identity.
PATH_KEYS = ("data.data_dir", "data.folder", "data.pairs", "data.input", "engine.checkpoint_every_s")


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested plain values (tuples become lists), ready for JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return plain(dataclasses.asdict(recipe))


def from_dict(values: dict[str, Any]) -> Recipe:
    """The recipe that `to_dict` wrote.

    Raises:
        InputError: a key that no recipe has, or a value of the wrong type.
    """
    recipe = Recipe(name=str(values.get("name", "")), summary=str(values.get("summary", "")))
    for key, value in flatten(values).items():
        if key not in ("name", "summary"):
            recipe = replace_key(recipe, key, value)
    return recipe


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested dicts under dotted keys: {"optim": {"name": "sgd"}} gives {"optim.name": "sgd"}."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        leaves |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


def identity(recipe: Recipe) -> dict[str, Any]:
    """The dotted keys and values that make a recipe what it is: everything but paths and pacing."""
    leaves = flatten(to_dict(recipe))
    kind = "folder" if recipe.data.folder else "pairs" if recipe.data.pairs else "tfds"
    return {key: value for key, value in leaves.items() if key not in (*PATH_KEYS, "summary")} | {"input_kind": kind}


def override(recipe: Recipe, assignments: list[str]) -> Recipe:
    """The recipe with every `part.key=value` of the command line applied in order.

    Raises:
        InputError: no "=", an unknown key (the nearest is named), or a value of the wrong type.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"--set {assignment}: expected KEY=VALUE, as in --set optim.learning_rate=0.01")
        recipe = replace_key(recipe, key.strip(), text.strip())
    return recipe


def replace_key(recipe: Recipe, key: str, value: Any) -> Recipe:
    """The recipe with one dotted key set; text is parsed by the key's type.

    Raises:
        InputError: an unknown key (the nearest is named), or a value of the wrong type.
    """
    known = [name for name in flatten(to_dict(recipe)) if name not in ("name", "summary")]
    if key not in known:
        raise InputError(f"unknown recipe key '{key}'.{nearest(key, known)} `mtsccd-jax recipes --json` lists all keys")
    part, _, name = key.rpartition(".")
    owner = getattr(recipe, part) if part else recipe
    expected = typing.get_type_hints(type(owner))[name]
    parsed = _parse(value, expected, key)
    changed: Any = dataclasses.replace(owner, **{name: parsed})
    whole: dict[str, Any] = {part: changed}
    return dataclasses.replace(recipe, **whole) if part else changed


def _parse(value: Any, expected: Any, key: str) -> Any:
    """`value` (text or plain JSON value) as `expected`; text is read the way a person writes it on a command line."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (types.UnionType, typing.Union):
        if value is None or (isinstance(value, str) and value.lower() in ("none", "null")):
            return None
        return _parse(value, next(item for item in arguments if item is not type(None)), key)
    if origin is Literal:
        if value in arguments:
            return value
        raise InputError(
            f"{key}={value}: expected one of {', '.join(map(str, arguments))}.{nearest(str(value), arguments)}"
        )
    if origin is tuple:
        items = [item for item in value.split(",") if item] if isinstance(value, str) else list(value)
        if arguments[-1] is not Ellipsis and len(items) != len(arguments):
            raise InputError(f"{key}={value}: expected {len(arguments)} values separated by commas")
        return tuple(_parse(item, arguments[0], key) for item in items)
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        if expected is bool:
            return value if isinstance(value, bool) else words[str(value).lower()]
        if expected is str and not isinstance(value, str):
            raise ValueError
        if expected is int and isinstance(value, float):
            raise ValueError
        return expected(value)
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{key}={value}: expected a value of type {expected.__name__}") from None
