"""The report in words: names, numbers, and what is to be said of the published values beside them."""

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mtsccd_jax.report import label_results, published
from mtsccd_jax.report.rows import CHANGE, Row, recipe_identity

# The abbreviations of the paper's figures, by class name.
ABBREVIATIONS: dict[str, str] = {
    "residential_land": "RL",
    "public_service_and_commercial_land": "PSCL",
    "educational_land": "EL",
    "industrial_land": "IL",
    "transportation_land": "TL",
    "agricultural_land": "AL",
    "water_body": "WB",
    "green_space": "GS",
    "woodland": "WL",
    "bare_land": "BL",
}

METRICS: dict[str, str] = {
    "oa": "OA",
    "kappa": "Kappa",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "balanced": "Balanced accuracy",
    "ap_macro": "AP macro",
    "ap_micro": "AP micro",
    "f1_macro": "F1 macro",
    "f1_micro": "F1 micro",
    "f1_samples": "F1 samples",
    "f2_samples": "F2 samples",
    "precision_macro": "P macro",
    "precision_micro": "P micro",
    "precision_samples": "P samples",
    "recall_samples": "R samples",
    "ranking_loss": "Ranking loss",
    "map": "mAP",
    "ndcg": "NDCG",
    "anmrr": "ANMRR",
}

# Data sets as people call them.
DATA_NAMES: dict[str, str] = {
    "bigearthnet_v1": "BigEarthNet v1",
    "bigearthnet_v2": "BigEarthNet v2",
    "mlrsnet": "MLRSNet",
}
METHOD_NAMES: dict[str, str] = {
    **published.METHOD_NAMES,
    "scene": "Scene classification",
    "multilabel": "Labels",
    "retrieval": "Retrieval",
}
# What the rows of a protocol are judged by first.
FIRST_METRIC: dict[str, str] = {
    "scene": "oa",
    **dict.fromkeys(CHANGE, "kappa"),
    "multilabel": "ap_macro",
    "retrieval": "map",
}

NOT_KNOWN = "–"

# The protocols that call a pair changed where its distance reaches a threshold.
BY_DISTANCE = ("cfsm", "sscd")


@dataclass(frozen=True)
class Run:
    """Rows of one recipe on one data set, over seeds and repetitions.

    Attributes:
        name: The recipe's name, with the settings that tell it from others of that name.
        model: The network.
        dataset: The data set.
        rows: Its rows.
    """

    name: str
    model: str
    dataset: str
    rows: tuple[Row, ...]

    @property
    def network(self) -> str:
        """The name that its network is shown by."""
        return network(self.rows[0])

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, rising."""
        return tuple(sorted({row.seed for row in self.rows}))

    @property
    def repeats(self) -> list[list[Row]]:
        """The rows that differ in nothing but seed and time, by rising seed."""
        groups: dict[tuple[str, str, str | None, str], list[Row]] = {}
        for row in self.rows:
            search = json.dumps(row.recipe.get("retrieval"), sort_keys=True) if row.protocol == "retrieval" else ""
            groups.setdefault((row.protocol, row.split, row.objective, search), []).append(row)
        return [sorted(group, key=lambda row: row.seed) for group in groups.values()]


def recipe_name(row: Row) -> str:
    """The name of the row's recipe."""
    return str(row.recipe.get("name") or "unnamed")


def run_name(row: Row) -> str:
    """The recipe's name and the configuration of its data where it is not the paper's, as `reproduce` calls the run."""
    config = (row.recipe.get("data") or {}).get("config")
    return recipe_name(row) if config in (None, "official") else f"{recipe_name(row)}-{config}"


def width(row: Row) -> float:
    """The width of the row's network; 1 is the published one."""
    settings: dict[str, Any] = row.recipe.get("model") or {}
    return float(settings.get("width", 1.0))


def kind(row: Row) -> str:
    """What the row is about: "scene", "change", "labels" or "retrieval"."""
    return "change" if row.protocol in CHANGE else {"multilabel": "labels"}.get(row.protocol, row.protocol)


def bands(row: Row) -> tuple[str, ...]:
    """The bands, or the name of a set of them, that the row's network sees; empty for images."""
    settings: dict[str, Any] = row.recipe.get("data") or {}
    return tuple(settings.get("bands") or ())


def network(row: Row) -> str:
    """The name that a row's network is shown by: the paper's ("ViT"), or its own and its width ("resnet18 x0.25")."""
    factor = width(row)
    own = row.model if factor == 1 else f"{row.model} x{factor:g}"
    entry = label_results.find(row.dataset, row.model, bands(row), factor)
    return entry.model if entry else published.paper_name(row.model, factor) or own


def data_name(dataset: str) -> str:
    """How people call a data set, whatever its configuration: "MLRSNet"."""
    name = dataset.partition("/")[0]
    return DATA_NAMES.get(name, name.replace("_", " "))


def split_name(split: str, dataset: str) -> str:
    """How people call a split: "Hefei (test A)" for MtSCCD's "test_a", "MLRSNet test", else the split with spaces."""
    words = split.replace("_", " ")
    if dataset.partition("/")[0] in DATA_NAMES:
        return f"{data_name(dataset)} {words}"
    if not dataset.startswith("mtsccd") or not split.startswith("test_"):
        return words
    city = published.CITIES.get(split, split.removeprefix("test_").title())
    return f"{city} (test {split[-1].upper()})" if split in published.CITIES else f"{city} (test)"


def short_split(split: str, dataset: str) -> str:
    """The same in one word where there is one: "Hefei", or the data set of a test split: "MLRSNet"."""
    if dataset.partition("/")[0] in DATA_NAMES:
        return data_name(dataset) if split == "test" else split_name(split, dataset)
    known = dataset.startswith("mtsccd") and split in published.CITIES
    return published.CITIES[split] if known else split.replace("_", " ")


def method_name(protocol: str) -> str:
    """The paper's spelling of a protocol: "CFSM", "CDC_1"; "scene" is "Scene classification"."""
    return METHOD_NAMES.get(protocol, protocol)


def class_name(name: str) -> str:
    """A class as words: "Residential land"."""
    return name.replace("_", " ").strip().capitalize()


def short_class_names(names: Sequence[str]) -> list[str]:
    """The paper's abbreviations where all are MtSCCD's classes, else names of at most 12 characters, all different."""
    if all(name in ABBREVIATIONS for name in names):
        return [ABBREVIATIONS[name] for name in names]
    shortened = [name if len(name) <= 12 else f"{name[:11]}…" for name in (n.replace("_", " ") for n in names)]
    if len(set(shortened)) == len(shortened):
        return shortened
    return [f"{index} {name[:9]}" for index, name in enumerate(shortened)]


def figure_order(names: Sequence[str]) -> list[int]:
    """The classes in the order of the paper's Figures 4 and 5 (by abbreviation), or as they are where not its classes.

    Returns:
        Indices into `names`.
    """
    if not all(name in ABBREVIATIONS for name in names):
        return list(range(len(names)))
    return sorted(range(len(names)), key=lambda i: ABBREVIATIONS[names[i]])


def number(value: float | None, digits: int = 3) -> str:
    """The value with that many decimals; a dash where it is not known."""
    return NOT_KNOWN if value is None or not math.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def four(value: float) -> str:
    """The value with four decimals."""
    return number(value, 4)


def percent(value: float, digits: int = 1) -> str:
    """The value, in [0, 1], in per cent."""
    return f"{100 * value:.{digits}f}\u202f%"


def interval(entry: dict[str, float | None] | None) -> str:
    """Such as "[0.699, 0.724]", or nothing where there is no interval."""
    if not entry or entry["low"] is None or entry["high"] is None:
        return ""
    return f"[{number(entry['low'])}, {number(entry['high'])}]"


def value_of(row: Row, metric: str) -> float | None:
    """The row's value of a metric, or None."""
    return row.metrics.get(metric, {}).get("value")


def mean_std(values: Sequence[float]) -> tuple[float, float | None]:
    """(mean, sample standard deviation or None for fewer than two values)."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def threshold_text(row: Row) -> str:
    """The row's threshold: a number, "none" where nothing is called changed, a dash where the method has none."""
    if row.threshold is not None:
        return number(row.threshold)
    return "none" if row.protocol in BY_DISTANCE else NOT_KNOWN


def distance_label(row: Row) -> str:
    """What a row's distances are, as an axis label."""
    if row.protocol == "sscd":
        return "learned distance, 1 − similarity (0 to 1)"
    settings: dict[str, Any] = row.recipe.get("change") or {}
    metric = {"euclidean": "Euclidean", "cosine": "Cosine"}.get(str(settings.get("metric")))
    if metric is None:
        return "distance of features (no unit)"
    kind = "unit-length features" if settings.get("scale") == "features" else "features"
    scaled = ", by the validation range" if settings.get("scale") == "validation" else " (no unit)"
    return f"{metric} distance of {kind}{scaled}"


def metric_name(metric: str) -> str:
    """A metric as people write it, such as "OA" or, of "precision_at_10", "P@10"."""
    name, at, k = metric.partition("_at_")
    title = {"precision": "P"}.get(name) or METRICS.get(name, name)
    return f"{title}{'@' * bool(at)}{k}"


def measure(row: Row) -> str:
    """How far apart the row's search finds images: "cosine" or "Euclidean"."""
    settings: dict[str, Any] = row.recipe.get("retrieval") or {}
    return {"euclidean": "Euclidean"}.get(str(settings.get("metric")), str(settings.get("metric", NOT_KNOWN)))


def gallery(row: Row) -> str:
    """The split that the row's queries are searched for in, in words."""
    settings: dict[str, Any] = row.recipe.get("retrieval") or {}
    split = str(settings.get("gallery", "an unnamed gallery"))
    return short_split(split, row.dataset if row.dataset.startswith("mtsccd") else "")


def comparable(row: Row) -> bool:
    """Whether the row is of the paper's images: not drawn ones, and as many as the paper has.

    Where a paper's split is a random one, there may be one in a hundred more or fewer.
    """
    if row.generated:
        return False
    if row.protocol == "multilabel":
        source, n = label_results.source_of(row.dataset), _published_images(row)
        return source is not None and n is not None and abs(row.n - n) <= (0 if source.exact else n // 100)
    if row.protocol == "scene":
        return published.SCENES.get(row.split) == row.n
    changed = sum(row.confusion[1]) if len(row.confusion) == 2 else None
    return published.PAIRS_CHANGED.get(row.split) == (row.n, changed)


def generated_note(rows: Sequence[Row]) -> str:
    """One sentence on images that a program has drawn; empty where there are none."""
    drawn = sum(row.generated for row in rows)
    if not drawn:
        return ""
    which = "these rows" if drawn == len(rows) else f"{drawn} of these {len(rows)} rows"
    return (
        f"The images of {which} are drawn by a program: they show that everything runs, and say nothing of real ones."
    )


def orientation_note(rows: Sequence[Row]) -> str:
    """One sentence on why the paper's values are no comparison for these rows; empty where they are one."""
    others = [row for row in rows if row.published and not comparable(row)]
    if not others:
        return ""
    if others[0].protocol == "multilabel":
        return _label_orientation(others)
    sizes = {row.split: row.n for row in others}
    kind = "scenes" if others[0].protocol == "scene" else "pairs"
    paper = {s: published.SCENES[s] if kind == "scenes" else published.PAIRS_CHANGED[s][0] for s in sizes}
    here = " and ".join(f"{n:,} ({short_split(s, 'mtsccd')})" for s, n in sizes.items())
    there = " and ".join(f"{n:,}" for n in paper.values())
    what = f"drawn by a program, {here}" if any(row.generated for row in others) else f"these hold {here}"
    return (
        f"The paper's values are for test sets of {there} {kind}; {what}. "
        "They stand here for orientation and are not a comparison."
    )


def _label_orientation(others: Sequence[Row]) -> str:
    """The same of rows of several labels an image, all on one data set."""
    source = label_results.source_of(others[0].dataset)
    known = sorted({n for row in others if (n := _published_images(row)) is not None})
    known = known or sorted(set(source.examples.values())) if source else known
    here = " and ".join(f"{n:,}" for n in sorted({row.n for row in others}))
    there = " and ".join(f"{n:,}" for n in known)
    what = f"drawn by a program, {here}" if any(row.generated for row in others) else f"these hold {here}"
    return (
        f"The published values are for test splits of {there} images; {what}. "
        "They stand here for orientation and are not a comparison."
    )


def _published_images(row: Row) -> int | None:
    """How many images of this configuration the published values are of, where that is known."""
    source = label_results.source_of(row.dataset)
    return source.examples.get(row.dataset.partition("/")[2]) if source else None


def is_leak_free(row: Row) -> bool:
    """Whether the row is of the split that has both dates of a tile on one side."""
    return row.dataset.endswith("/paired")


def place(row: Row) -> str:
    """The row's split in words, and that it is the leak-free one where it is."""
    return split_name(row.split, row.dataset) + (", leak-free split" if is_leak_free(row) else "")


def short_place(row: Row) -> str:
    """`place` for a narrow column."""
    return short_split(row.split, row.dataset) + (", leak-free" if is_leak_free(row) else "")


def group_runs(rows: Sequence[Row]) -> list[Run]:
    """The rows by recipe (whatever its seed) and kind of data, in the order they first appear."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((json.dumps(_of_run(row), sort_keys=True), _family(row.dataset)), []).append(row)
    runs = []
    for members in groups.values():
        name = recipe_name(members[0])
        namesakes = [group[0] for group in groups.values() if recipe_name(group[0]) == name]
        if different := different_settings(namesakes, _of_run)[namesakes.index(members[0])]:
            name += f" ({different})"
        runs.append(Run(name, members[0].model, members[0].dataset, tuple(members)))
    return runs


def settings(row: Row) -> dict[str, Any]:
    """What makes the row's recipe what it is, but for its seed."""
    return {key: value for key, value in recipe_identity(row.recipe).items() if key != "seed"}


def _of_run(row: Row) -> dict[str, Any]:
    """The settings without those of single rows: how labels are called (the row says so) and images searched."""
    return {key: value for key, value in settings(row).items() if not key.startswith(("labels.", "retrieval."))}


def different_settings(rows: Sequence[Row], of: Callable[[Row], dict[str, Any]] = settings) -> list[str]:
    """The first three settings `of` rows that some do not share, with each row's values, as text."""
    every = [of(row) for row in rows]
    known = dict.fromkeys(key for own in every for key in own)
    keys = [key for key in known if any(own.get(key) != every[0].get(key) for own in every)]
    return [", ".join(f"{key.rpartition('.')[2]} {own.get(key)}" for key in keys[:3]) for own in every]


def _family(dataset: str) -> str:
    """MtSCCD's two sub-sets are one family, so that scene and change rows of one recipe stay together."""
    name, _, config = dataset.partition("/")
    return f"mtsccd/{config}" if name in ("mtsccd_lusc", "mtsccd_lucd") else dataset
