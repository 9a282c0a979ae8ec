"""The settings of a run as frozen dataclasses, and their typed override `--set part.key=value`."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import local_path
from mtsccd_jax.recipes.key_names import likely_keys
from mtsccd_jax.recipes.ranges import RANGES, RULES
from mtsccd_jax.recipes.values import checked, excerpt, parse

Objective = Literal["kappa", "oa", "f1", "balanced"]


@dataclass(frozen=True)
class Data:
    """Where scenes come from and how they become model input.

    Attributes:
        dataset: TFDS data set of scenes, where there is no folder.
        pair_dataset: TFDS data set of pairs of two dates, where there is no pair list.
        config: Configuration of both, where their names have none.
        data_dir: Folder of TFDS data sets; None for TFDS's own.
        folder: Scenes, one folder a class.
        pairs: Pairs of two dates: A/, B/ and pairs.csv.
        changed_above: Changed fraction from which a pair of a list counts as changed.
        image_size: Side in pixels of what the network sees.
        bands: Stored bands that it sees instead of images, in this order, or a channel set such as 10m_20m.
        resample: How each band is brought to the image size, on the device.
        mean: Of each RGB channel, of values in [0, 1], or of each band in its units; empty for a band's published one.
        std: The standard deviation, likewise. The defaults are ImageNet's, which most published networks expect.
        crop_padding: Pixels around the image from which training crops are taken.
        flip: Mirror training images at random.
        turn: Turn training images by quarters at random.
        color_jitter: Largest random change of brightness and of contrast in training, as a share.
        input: Whether a split lies on the devices or streams past; auto goes by the memory at hand.
        skip_bad: Leave out, count and name images that cannot be read.
        exclude: List of images to leave out of every split, as `data audit` writes it.
        leaks: Such a list that leaves nothing out: rows say how many examples have a copy in training.
        leave_out: City that the network does not learn from; scenes are split anew, each city with its own test split.
    """

    dataset: str | None = "mtsccd_lusc"
    pair_dataset: str | None = "mtsccd_lucd"
    config: str = "official"
    data_dir: str | None = None
    folder: str | None = None
    pairs: str | None = None
    changed_above: float = 0.01
    image_size: int = 224
    bands: tuple[str, ...] = ()
    resample: Literal["nearest", "bilinear", "bicubic"] = "nearest"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    crop_padding: int = 0
    flip: bool = True
    turn: bool = True
    color_jitter: float = 0.0
    input: Literal["auto", "resident", "stream"] = "auto"
    skip_bad: bool = False
    exclude: str | None = None
    leaks: str | None = None
    leave_out: str | None = None


@dataclass(frozen=True)
class Model:
    """The network and how it begins.

    Attributes:
        name: The network.
        width: Multiplies its channels.
        init: Weights to begin with: a .safetensors or .pth file, `hf:OWNER/NAME[@REVISION][:FILE]`, or the work
            directory of another run; None for random ones.
        task: The class of a scene, all of its labels, or the similarity of both dates of a pair (SSCD).
        features: Those of AlexNet and VGG, after the rectifier of their layer or before it; others have no choice.
        hidden: Width of a rectified layer between features and classifier, None for no such layer.
        dropout: Rate before that layer and before the classifier; None as the network was published.
        drop_path: Share of examples that skip the last block in training; fewer skip earlier blocks, but in an
            MLP-Mixer all blocks are alike. None as the network was published.
    """

    name: str = "resnet18"
    width: float = 1.0
    init: str | None = None
    task: Literal["scenes", "labels", "similarity"] = "scenes"
    features: Literal["rectified", "linear"] = "rectified"
    hidden: int | None = None
    dropout: float | None = None
    drop_path: float | None = None


@dataclass(frozen=True)
class Optim:
    """The optimiser and its schedule.

    Attributes:
        name: The optimiser.
        learning_rate: The largest of the schedule.
        momentum: Of SGD.
        nesterov: Nesterov's momentum.
        weight_decay: Of all parameters; with AdamW decoupled from the gradient.
        schedule: What the learning rate does after the warm-up.
        warmup_epochs: Epochs in which it rises from 0.
        label_smoothing: Share of the target that is spread over all classes.
        clip_norm: Largest norm of the gradient; None does not clip.
        freeze: Parts whose parameters do not change: prefixes of parameter paths ("stem", "stages.0"), or "backbone"
            for everything but the classifier.
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
    """The running of steps.

    Attributes:
        batch_size: Images or pairs of a training step, of all devices together.
        epochs: Passes over the training split; 0 keeps the initial weights as they are.
        eval_batch_size: Images or pairs of an evaluation step.
        parallel: How steps are spread over devices.
        dtype: Type that the network computes in; parameters are float32.
        validate: Score the validation split after every epoch.
        patience: Epochs without a better validation after which training stops; None never stops early.
        keep: The parameters that are the result: those of the last step, or of the best epoch.
        checkpoint_every_s: Seconds between checkpoints.
        steps_per_dispatch: Steps that one call of the device takes from a resident split; None for what suits.
    """

    batch_size: int = 64
    epochs: int = 30
    eval_batch_size: int = 128
    parallel: Literal["jit", "pmap"] = "jit"
    dtype: Literal["float32", "bfloat16"] = "float32"
    validate: bool = True
    patience: int | None = None
    keep: Literal["last", "best"] = "last"
    checkpoint_every_s: float = 120.0
    steps_per_dispatch: int | None = None


@dataclass(frozen=True)
class Scene:
    """Scene classification by the network's own head, or by an SVM on its features.

    Attributes:
        classifier: What names the class.
        kernel: Of the SVM.
        c: Penalties of the SVM, of which validation chooses one.
        unit_length: Scale what an SVM takes to Euclidean length 1: features, and CDC_2's histograms of words.
    """

    classifier: Literal["head", "svm"] = "head"
    kernel: Literal["linear", "rbf", "intersection"] = "linear"
    c: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0)
    unit_length: bool = True


@dataclass(frozen=True)
class Labels:
    """Multi-label classification: the probability from which a label is predicted present.

    Attributes:
        threshold: One half for every label, or each label's own that is best on the validation split.
        objective: What a label's own threshold maximises.
    """

    threshold: Literal["half", "validation"] = "half"
    objective: Objective = "f1"


@dataclass(frozen=True)
class Retrieval:
    """Image retrieval.

    Attributes:
        gallery: The split that is searched.
        metric: Distance between features.
        cutoffs: Lengths of hit lists that are measured.
        gain: Worth of a hit to NDCG where it shares several labels.
    """

    gallery: str = "train"
    metric: Literal["euclidean", "cosine"] = "cosine"
    cutoffs: tuple[int, ...] = (1, 5, 10, 20)
    gain: Literal["overlap", "exponential"] = "overlap"


@dataclass(frozen=True)
class Change:
    """Change detection: feature distances (CFSM), visual words (CDC_2) and the choice of the threshold.

    Attributes:
        metric: Distance between the features of both dates.
        scale: Common scale of distances: features of unit length, 0 to 1 over the validation pairs, or none.
        objective: What the threshold maximises on the validation pairs.
        words: Size of CDC_2's dictionary.
        descriptors: Most local features it is fitted on, of the training pairs or else of the training scenes.
        words_svm: What CDC_2's SVMs learn: the class of a scene, one SVM a date, or whether a pair changed.
    """

    metric: Literal["euclidean", "cosine"] = "euclidean"
    scale: Literal["features", "validation", "none"] = "features"
    objective: Objective = "kappa"
    words: int = 128
    descriptors: int = 200_000
    words_svm: Literal["scenes", "pairs"] = "scenes"


@dataclass(frozen=True)
class Evaluation:
    """Settings of every evaluation.

    Attributes:
        resamples: Bootstrap resamples of its 95 % intervals.
    """

    resamples: int = 1000


@dataclass(frozen=True)
class Certainty:
    """Calibrated probabilities, conformal sets, and the list of what to look at first.

    Attributes:
        calibration: Map from the distance of a pair to its probability of change; scenes have a temperature.
        coverage: Share of the truths that sets are to hold, and of the examples that are to be answered.
        bins: Of the expected calibration error and the reliability diagram.
        look: Examples that somebody has the time to look at, at 20 seconds each in an hour.
    """

    calibration: Literal["isotonic", "platt"] = "isotonic"
    coverage: float = 0.9
    bins: int = 15
    look: int = 180


@dataclass(frozen=True)
class Similarity:
    """Similarity learning (SSCD): how a siamese network compares both dates, and its loss.

    Attributes:
        width: Of the hidden layer.
        radius: Cells around a place within which it is compared with the other date's map.
        balance: Give changed and unchanged pairs the same total weight.
        scene_weight: Weight of the scene classification loss.
    """

    width: int = 256
    radius: int = 1
    balance: bool = True
    scene_weight: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """One experiment from data to evaluation: all of its settings.

    Attributes:
        seed: Of everything random.
    """

    name: str
    summary: str
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    optim: Optim = field(default_factory=Optim)
    engine: Engine = field(default_factory=Engine)
    scene: Scene = field(default_factory=Scene)
    labels: Labels = field(default_factory=Labels)
    retrieval: Retrieval = field(default_factory=Retrieval)
    change: Change = field(default_factory=Change)
    evaluation: Evaluation = field(default_factory=Evaluation)
    certainty: Certainty = field(default_factory=Certainty)
    similarity: Similarity = field(default_factory=Similarity)
    seed: int = 0

    def check(self) -> None:
        """Raise InputError for the first setting with an impossible value, whatever the data and the network."""
        for key, value, expected in typed_settings(self):
            checked(value, expected, key)
            numbers = value if isinstance(value, tuple) else () if value is None else (value,)
            if key in RANGES and not all(number in RANGES[key] for number in numbers):
                raise InputError(f"{key}={excerpt(value)}: {RANGES[key]}")
        for key, is_possible, wanted in RULES:
            if not is_possible(self):
                raise InputError(f"{key}={excerpt(attrgetter(key)(self))}: {wanted}")


def typed_settings(recipe: Recipe) -> Iterator[tuple[str, Any, Any]]:
    """Yield the key, the value and the type of every setting of a recipe, in the order of its parts."""
    for part, kind in typing.get_type_hints(Recipe).items():
        if dataclasses.is_dataclass(kind):
            for name, expected in typing.get_type_hints(kind).items():
                yield f"{part}.{name}", getattr(getattr(recipe, part), name), expected
        elif part not in ("name", "summary"):
            yield part, getattr(recipe, part), kind


# Places and speed do not change a result, so these keys are no part of a recipe's identity.
PATH_KEYS = (
    "data.data_dir",
    "data.folder",
    "data.pairs",
    "data.input",
    "data.leaks",
    "engine.checkpoint_every_s",
    "engine.steps_per_dispatch",
)

# Where data lie, and weights.
LOCATION_KEYS = ("data.data_dir", "data.folder", "data.pairs", "data.exclude", "data.leaks", "model.init")

# Keys that were renamed, with their first names. Old work directories and rows are still read, and the identity of a
# recipe uses the first names, so that rows keep their ids.
FIRST_NAMES = {"evaluation.resamples": "change.resamples"}

# Keys that older recipes do not have. With these values a recipe is what it was without them.
LATER_KEYS = {
    "data.exclude": None,
    "data.leaks": None,
    "data.leave_out": None,
    **{f"certainty.{name}": value for name, value in dataclasses.asdict(Certainty()).items()},
}

# Files that are known by their names without folders; rows hold checksums of what they change.
_FILE_KEYS = ("data.exclude", "model.init")

# Keys that an evaluation may set to other values than the training did.
EVALUATION_KEYS = (
    "scene.",
    "labels.",
    "retrieval.",
    "change.",
    "evaluation.",
    "certainty.",
    "engine.eval_batch_size",
    "engine.parallel",
    "data.skip_bad",
    "data.exclude",
    "data.leaks",
)


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as nested plain values (tuples become lists), ready for JSON."""

    def plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in items}

    return dataclasses.asdict(recipe, dict_factory=plain)


def from_dict(values: dict[str, Any]) -> Recipe:
    """Return the recipe that `to_dict` wrote."""
    recipe = Recipe(name=str(values.get("name", "")), summary=str(values.get("summary", "")))
    for key, value in flatten(with_current_names(values)).items():
        if key not in ("name", "summary"):
            recipe = replace_key(recipe, key, value)
    return recipe


def with_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored recipe (nested dicts) with its renamed keys under their current names."""
    renamed = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for current, first in FIRST_NAMES.items():
        (part, name), (old_part, old_name) = current.split("."), first.split(".")
        old = renamed.get(old_part)
        if isinstance(old, dict) and old_name in old:
            renamed.setdefault(part, {})[name] = old.pop(old_name)
    return renamed


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts under dotted keys: {"optim": {"name": "sgd"}} gives {"optim.name": "sgd"}."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        leaves |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


def identity(recipe: Recipe) -> dict[str, Any]:
    """Return the dotted keys and values that decide the results of a recipe, and the kind of its input."""
    kind = "folder" if recipe.data.folder else "pairs" if recipe.data.pairs else "tfds"
    return essentials(to_dict(recipe)) | {"input_kind": kind}


def essentials(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dotted keys and values of a recipe (nested dicts) without PATH_KEYS and its summary."""
    return {
        FIRST_NAMES.get(key, key): _file_name(value) if key in _FILE_KEYS else value
        for key, value in flatten(dict(values)).items()
        if key not in (*PATH_KEYS, "summary") and not (key in LATER_KEYS and value == LATER_KEYS[key])
    }


def _file_name(value: str | None) -> str | None:
    """Return the name of a file without folders; a name on a hub as it is."""
    return value if value is None or value.startswith("hf:") else value.rpartition("/")[2]


def override(recipe: Recipe, assignments: list[str]) -> Recipe:
    """Return the recipe with every `part.key=value` of the command line applied in order.

    Raises:
        InputError: An assignment has no "=", its key is unknown (the message names the nearest), its value has the
            wrong type, or the recipe that they make is impossible.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"--set {excerpt(assignment)}: expected KEY=VALUE, as in --set optim.learning_rate=0.01")
        key, text = key.strip(), text.strip()
        is_path = key in LOCATION_KEYS and text.lower() not in ("none", "null") and not text.startswith("hf:")
        recipe = replace_key(recipe, key, str(local_path(text, f"--set {key}")) if is_path else text)
    recipe.check()
    return recipe


def replace_key(recipe: Recipe, key: str, value: Any) -> Recipe:
    """Return the recipe with one dotted key set; a text is parsed by the type of the key, or refused as InputError."""
    key = next((current for current, first in FIRST_NAMES.items() if first == key), key)
    known = [name for name in flatten(to_dict(recipe)) if name not in ("name", "summary")]
    if key not in known:
        raise InputError(f"unknown recipe key '{excerpt(key)}'.{likely_keys(key, known)} `--set help` explains all")
    part, _, name = key.rpartition(".")
    owner = getattr(recipe, part) if part else recipe
    expected = typing.get_type_hints(type(owner))[name]
    parsed = parse(value, expected, key)
    changed: Any = dataclasses.replace(owner, **{name: parsed})
    whole: dict[str, Any] = {part: changed}
    return dataclasses.replace(recipe, **whole) if part else changed
