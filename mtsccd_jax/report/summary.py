"""The summary at the top of the page: large numbers, and sentences that say what rows show and no more."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mtsccd_jax.report import comparable, text
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run
from mtsccd_jax.report.sections import Block, Place, Protocol, Section, fragment
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.text import NOT_KNOWN
from mtsccd_jax.report.unique_names import network_among, titles_apart
from mtsccd_jax.report.workdirs import Failure

# So many runs get sentences of their own; of more, the best run of each protocol gets one.
HEADLINE_RUNS = 4


@dataclass(frozen=True)
class TileValue:
    """One value of a tile: the split, the number or range, and its interval or number of rows."""

    split: str
    text: str
    note: str
    ranged: bool


def section(
    runs: Sequence[Run],
    protocols: Mapping[str, Protocol],
    speeds: Mapping[tuple[str, int], float],
    failed: Table | None,
) -> Section:
    """Return the summary; `speeds` maps (recipe, seed) to the images/s of a training, `failed` lists failed rows."""
    note = comparable.generated_note([row for run in runs for row in run.rows])
    blocks = [fragment(__package__, "tiles.html", tiles=_tiles(runs, protocols, speeds))]
    for title, sentences in headline(runs, protocols):
        blocks += [Block("heading", title)] if title else []
        blocks.append(Block("sentences", sentences))
    if failed:
        blocks += [Block("heading", "Rows that failed"), Block("tables", [failed], "reasons")]
    return Section("summary", "Summary", Place.SUMMARY, blocks, "Summary", [note] if note else [])


def headline(runs: Sequence[Run], protocols: Mapping[str, Protocol]) -> list[tuple[str, list[str]]]:
    """Say what came out: (title of a run, its sentences), the title "" where there is only one run.

    Of more than `HEADLINE_RUNS` runs, only the best of each protocol and split gets a sentence.
    """
    if len(runs) > HEADLINE_RUNS:
        return [("", _best(runs, protocols))]
    groups = []
    for run in runs:
        sentences = [protocols[repeats[0].protocol].sentence(repeats) + _leaked(repeats) for repeats in run.repeats]
        groups.append((f"{run.network}, {run.name}" if len(runs) > 1 else "", sentences))
    return groups


def estimate(rows: Sequence[Row], metric: str, show: Callable[[float], str] = text.number) -> tuple[float, str]:
    """Return the value of repetitions of one row, and its spread in words.

    The spread is the 95 % interval of one row, or the standard deviation over several.
    """
    values = [value for row in rows if (value := text.value_of(row, metric)) is not None]
    if not values:
        return math.nan, "not known"
    mean, deviation = text.mean_std(values)
    if deviation is not None:
        return mean, f"mean of {len(values)} runs, standard deviation {show(deviation)}"
    ends = text.interval_of(rows[0], metric)
    return mean, f"95\u202f% interval {show(ends[0])} to {show(ends[1])}" if ends else "no interval"


def beside_trivial(rows: Sequence[Row], metric: str, what: str, show: Callable[[float], str] = text.number) -> str:
    """Say how a value stands to that of the trivial predictor; empty where the rows have none.

    `what` tells what the trivial predictor would reach, such as "A random order would give".
    """
    trivial = text.baseline_of(rows[0], metric)
    if trivial is None:
        return ""
    sentence = f" {what} {show(trivial)}"
    if contains(rows, metric, trivial):
        return f"{sentence}, which the interval contains: the network may do no better."
    better = estimate(rows, metric)[0] > trivial
    return f"{sentence}." if better else f"{sentence}: the network does worse than that."


def contains(rows: Sequence[Row], metric: str, value: float) -> bool:
    """Return whether the interval of a single row contains a value; repetitions have no interval."""
    ends = text.interval_of(rows[0], metric)
    return len(rows) == 1 and ends is not None and ends[0] <= value <= ends[1]


def _leaked(rows: Sequence[Row]) -> str:
    """Say what share of the examples has a copy in training; empty where the rows do not tell."""
    leaked = text.value_of(rows[0], "leaked")
    if leaked is None:
        return ""
    return f" Leaked: {text.percent(leaked)} of them have a copy in training." if leaked else " None of them is leaked."


def failures_table(failures: Sequence[Failure], protocols: Mapping[str, Protocol]) -> Table:
    """Return the table of the rows that could not be made, each with its reason."""
    columns = (("Recipe", False), ("Method", False), ("Split", False), ("Seed", True), ("Reason", False))
    rows = [
        [
            Cell(f.network),
            Cell(protocols[f.protocol].title if f.protocol in protocols else f.protocol),
            Cell(text.short_split(f.split, "mtsccd_lucd") if f.split else NOT_KNOWN),
            Cell(str(f.seed)),
            Cell(f.reason),
        ]
        for f in failures
    ]
    records = [
        {"recipe": f.network, "protocol": f.protocol, "split": f.split, "seed": f.seed, "reason": f.reason}
        for f in failures
    ]
    return Table("failures", "Rows that failed; the others are not touched by it.", columns, rows, records)


def _best(runs: Sequence[Run], protocols: Mapping[str, Protocol]) -> list[str]:
    """Return a sentence on the best run of each protocol on each test split."""
    found: dict[tuple[str, str, str, int], list[tuple[Row, ...]]] = {}
    for repeats in (repeats for run in runs for repeats in run.repeats if repeats[0].split != "validation"):
        # Splits of one name may have different images, such as a random and an official one.
        row = repeats[0]
        found.setdefault((row.protocol, row.dataset, row.split, row.n), []).append(repeats)
    titles: dict[tuple[str, str, str, int], str] = {}
    for name in dict.fromkeys(name for name, *_ in found):
        keys = [key for key in found if key[0] == name]
        firsts = [found[key][0][0] for key in keys]
        told = titles_apart(list(map(text.place, firsts)), firsts)
        titles |= dict(zip(keys, told, strict=True))
    sentences = []
    for key, groups in found.items():
        protocol = protocols[key[0]]
        known = [group for group in groups if text.value_of(group[0], protocol.metric) is not None]
        if known:
            top = max(known, key=lambda group: estimate(group, protocol.metric)[0])
            name = network_among(top[0], [group[0] for group in known])
            sentence = protocol.sentence(top).replace(text.place(top[0]), titles[key], 1) + _leaked(top)
            sentences.append((f"Best of {len(known)}, {name}: " if len(known) > 1 else f"{name}: ") + sentence)
    return sentences


def _tiles(
    runs: Sequence[Run], protocols: Mapping[str, Protocol], speeds: Mapping[tuple[str, int], float]
) -> list[tuple[str, list[TileValue]]]:
    """Return (title, values) of the tiles: one a protocol with a value a split, and one of the training speed."""
    tiles = []
    for protocol in protocols.values():
        members = [row for run in runs for row in run.rows if row.protocol == protocol.name]
        members = [row for row in members if text.value_of(row, protocol.metric) is not None]
        tests = [row for row in members if row.split not in ("train", "validation")] or members
        places: dict[tuple[str, str], list[Row]] = {}
        for row in tests:
            places.setdefault((row.dataset, row.split), []).append(row)
        firsts = [of_place[0] for of_place in places.values()]
        titles = titles_apart(list(map(text.short_place, firsts)), firsts)
        values = [
            _tile_value(title, of_place, protocol.metric)
            for title, of_place in zip(titles, places.values(), strict=True)
        ]
        if values:
            tiles.append((protocol.tile, values))
    if speeds:
        rates = " to ".join(f"{rate:,.0f}" for rate in sorted({min(speeds.values()), max(speeds.values())}))
        value = TileValue("median step", rates, runs[0].rows[0].device, len(speeds) > 1)
        tiles.append(("Training, images/s", [value]))
    return tiles


def _tile_value(where: str, members: Sequence[Row], metric: str) -> TileValue:
    """Return one value of a tile: that of a row with its interval, or the range of several rows."""

    def show(value: float) -> str:
        return text.percent(value) if metric == "oa" else text.number(value, 2)

    def show_range(low: float, high: float) -> str:
        return f"{100 * low:.0f} to {text.percent(high, 0)}" if metric == "oa" else f"{show(low)} to {show(high)}"

    values = [text.value_of(row, metric) or 0.0 for row in members]
    if len(members) > 1:
        return TileValue(where, show_range(min(values), max(values)), f"{len(members)} rows", True)
    ends = text.interval_of(members[0], metric)
    return TileValue(where, show(values[0]), f"{show(ends[0])} to {show(ends[1])}" if ends else "no interval", False)
