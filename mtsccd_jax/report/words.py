"""The report in words: names, numbers, and sentences that say what a row shows and no more."""

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mtsccd_jax.report import published
from mtsccd_jax.report.rows import Row, recipe_identity

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
}

NOT_KNOWN = "–"

# The protocols that call a pair changed where its distance reaches a threshold.
BY_DISTANCE = ("cfsm", "sscd")

# Fewer pairs than this leave intervals so wide that the sentence says so.
FEW_PAIRS = 200
# Runs that get sentences of their own at the top; of more, the best of each method does.
HEADLINE_RUNS = 4


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
        groups: dict[tuple[str, str, str | None], list[Row]] = {}
        for row in self.rows:
            groups.setdefault((row.protocol, row.split, row.objective), []).append(row)
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


def network(row: Row, among: Sequence[Row] = ()) -> str:
    """The name that a row's network is shown by: the paper's ("ViT"), or its own and its width ("resnet18 x0.25").

    Where rows of `among` of the same protocol have that network by another recipe, the recipe's name follows.
    """
    factor = width(row)
    own = row.model if factor == 1 else f"{row.model} x{factor:g}"
    name = published.paper_name(row.model, factor) or own
    recipe = recipe_name(row)
    namesakes = (other for other in among if other.protocol == row.protocol and recipe_name(other) != recipe)
    return f"{name}, {recipe}" if any(network(other) == name for other in namesakes) else name


def split_name(split: str, dataset: str) -> str:
    """How people call a split: "Hefei (test A)" for MtSCCD's "test_a", else the split with spaces."""
    words = split.replace("_", " ")
    if not dataset.startswith("mtsccd") or not split.startswith("test_"):
        return words
    city = published.CITIES.get(split, split.removeprefix("test_").title())
    return f"{city} (test {split[-1].upper()})" if split in published.CITIES else f"{city} (test)"


def short_split(split: str, dataset: str) -> str:
    """The same in one word where there is one: "Hefei"."""
    known = dataset.startswith("mtsccd") and split in published.CITIES
    return published.CITIES[split] if known else split.replace("_", " ")


def method_name(protocol: str) -> str:
    """The paper's spelling of a protocol: "CFSM", "CDC_1"; "scene" is "Scene classification"."""
    return published.METHOD_NAMES.get(protocol, "Scene classification" if protocol == "scene" else protocol)


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


def comparable(row: Row) -> bool:
    """Whether the row is of the paper's images: not drawn ones, and as many as the paper has."""
    if row.generated:
        return False
    if row.protocol == "scene":
        return published.SCENES.get(row.split) == row.n
    changed = sum(row.confusion[1]) if len(row.confusion) == 2 else None
    return published.PAIRS_CHANGED.get(row.split) == (row.n, changed)


def orientation_note(rows: Sequence[Row]) -> str:
    """One sentence on why the paper's values are no comparison for these rows; empty where they are one."""
    others = [row for row in rows if row.published and not comparable(row)]
    if not others:
        return ""
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
        groups.setdefault((json.dumps(settings(row), sort_keys=True), _family(row.dataset)), []).append(row)
    runs = []
    for members in groups.values():
        name = recipe_name(members[0])
        namesakes = [settings(group[0]) for group in groups.values() if recipe_name(group[0]) == name]
        own = settings(members[0])
        different = [key for key in own if any(other.get(key) != own[key] for other in namesakes)]
        if different:
            values = [f"{key.rpartition('.')[2]} {own[key]}" for key in different[:3]]
            name += f" ({', '.join(values)})"
        runs.append(Run(name, members[0].model, members[0].dataset, tuple(members)))
    return runs


def headline(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """What was run and what came out: (title of a run, its sentences), the title empty where there is only one run.

    Of more than HEADLINE_RUNS runs: the best of each method and split.
    """
    if len(runs) > HEADLINE_RUNS:
        return [("", best(runs))]
    groups = []
    for run in runs:
        sentences = [
            _scene_sentence(repeats) if repeats[0].protocol == "scene" else _change_sentence(repeats)
            for repeats in run.repeats
        ]
        groups.append((f"{run.network}, {run.name}" if len(runs) > 1 else "", sentences))
    return groups


def best(runs: Sequence[Run]) -> list[str]:
    """The best run of each method on each test split, a sentence each, where there are too many for one each."""
    found: dict[tuple[str, str], list[list[Row]]] = {}
    for run in runs:
        for repeats in run.repeats:
            if repeats[0].split != "validation":
                found.setdefault((repeats[0].protocol, place(repeats[0])), []).append(repeats)
    sentences = []
    for (protocol, _), groups in found.items():
        metric = "oa" if protocol == "scene" else "kappa"
        known = [group for group in groups if value_of(group[0], metric) is not None]
        if known:
            top = max(known, key=lambda group: _estimate(group, metric)[0])
            name = network(top[0], [group[0] for group in known])
            text = _scene_sentence(top) if protocol == "scene" else _change_sentence(top)
            of = f"Best of {len(known)}, {name}: " if len(known) > 1 else f"{name}: "
            sentences.append(of + text)
    return sentences


def _scene_sentence(rows: Sequence[Row]) -> str:
    """What the scene rows of one split show; several are repetitions."""
    row = rows[0]
    where = place(row)
    value, spread = _estimate(rows, "oa", percent)
    text = f"On {where} the land use of {percent(value)} of {row.n:,} scenes is named correctly ({spread})"
    kappa = value_of(row, "kappa")
    text += f"; kappa {_estimate(rows, 'kappa')[0]:.3f}." if kappa is not None else "."
    trivial = (row.baseline or {}).get("oa")
    if trivial is not None:
        text += f" Always naming the most frequent class would score {percent(trivial)}"
        low, high = row.metrics["oa"]["low"], row.metrics["oa"]["high"]
        if len(rows) == 1 and low is not None and high is not None and low <= trivial <= high:
            text += ", which the interval contains: the network may do no better."
        else:
            text += "." if value > trivial else ": the network does worse than that."
    return text


def _change_sentence(rows: Sequence[Row]) -> str:
    """What the change rows of one method and split show beside the trivial predictor; several are repetitions."""
    row = rows[0]
    where, method = place(row), method_name(row.protocol)
    (_, fp), (fn, tp) = row.confusion
    if len(rows) == 1 and not fp + tp:
        why = "no pair is called changed"
        if row.protocol in BY_DISTANCE and row.threshold is None:
            why = "no threshold did better on validation than calling nothing changed"
        return f"{method} on {where}: {why}, so all {fn + tp:,} changed pairs of {row.n:,} are missed."
    kappa, spread = _estimate(rows, "kappa")
    text = f"{method} on {where}: kappa {number(kappa)} ({spread})"
    if len(rows) == 1:
        text += f"; it calls {fp + tp:,} of {row.n:,} pairs changed and finds {tp:,} of the {fn + tp:,} that are"
    text += "."
    if row.n < FEW_PAIRS:
        text += f" {row.n:,} pairs are few: such an interval settles little."
    entry = row.metrics.get("kappa", {})
    low, high = entry.get("low"), entry.get("high")
    if len(rows) == 1 and low is not None and high is not None and low <= 0.0:
        text += (
            " That is worse than chance."
            if high < 0.0
            else " The interval contains 0: it may be no better than chance."
        )
    return text + _against_trivial(rows)


def _against_trivial(rows: Sequence[Row]) -> str:
    """How the overall accuracy stands to that of never saying "changed", in one sentence."""
    row = rows[0]
    trivial = (row.baseline or {}).get("oa")
    oa = row.metrics.get("oa")
    if trivial is None or not oa or oa["value"] is None:
        return ""
    value = _estimate(rows, "oa")[0]
    never = f"that of never saying “changed” ({trivial:.3f})"
    text = f" Its overall accuracy, {value:.3f}, is "
    if len(rows) == 1 and oa["low"] is not None and oa["high"] is not None and oa["low"] <= trivial <= oa["high"]:
        return f"{text}not distinguishable from {never}."
    if value > trivial:
        return f"{text}above {never}."
    return f"{text}below {never}: the trivial answer wins by this measure, so judge by kappa and F1."


def _estimate(rows: Sequence[Row], metric: str, show: Callable[[float], str] = number) -> tuple[float, str]:
    """(value, what is known of its spread): the 95 % interval of one row, mean and standard deviation over seeds."""
    values = [value for row in rows if (value := value_of(row, metric)) is not None]
    if not values:
        return math.nan, "not known"
    mean, deviation = mean_std(values)
    if deviation is not None:
        return mean, f"mean of {len(values)} runs, standard deviation {show(deviation)}"
    low, high = rows[0].metrics[metric]["low"], rows[0].metrics[metric]["high"]
    return mean, "no interval" if low is None or high is None else f"95\u202f% interval {show(low)} to {show(high)}"


def settings(row: Row) -> dict[str, Any]:
    """What makes the row's recipe what it is, but for its seed."""
    return {key: value for key, value in recipe_identity(row.recipe).items() if key != "seed"}


def _family(dataset: str) -> str:
    """MtSCCD's two sub-sets are one family, so that scene and change rows of one recipe stay together."""
    name, _, config = dataset.partition("/")
    return f"mtsccd/{config}" if name in ("mtsccd_lusc", "mtsccd_lucd") else dataset
