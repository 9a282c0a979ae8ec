"""Runs: the rows of one recipe on one kind of data, over seeds and repetitions."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtsccd_jax.recipes.config import essentials
from mtsccd_jax.report import text
from mtsccd_jax.report.published import labels, tables
from mtsccd_jax.report.rows import Row, data_identity

# With more rows than this, only the lowest seed of each run gets charts; all seeds are in the tables.
ALL_SEEDS = 30


@dataclass(frozen=True)
class Run:
    """Rows of one recipe on one data set, over seeds and repetitions."""

    name: str  # of the recipe, with the settings that tell it from other recipes of that name
    model: str  # name of the network
    dataset: str
    rows: tuple[Row, ...]
    repeats: tuple[tuple[Row, ...], ...]  # groups that differ in nothing but seed and time, by rising seed

    @property
    def network(self) -> str:
        """The name that the page gives its network."""
        return network(self.rows[0])

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, rising."""
        return tuple(sorted({row.seed for row in self.rows}))


def group_runs(rows: Sequence[Row], row_settings: Mapping[str, str] | None = None) -> list[Run]:
    """Group rows by recipe (whatever its seed) and kind of data, in the order of their first appearance.

    `row_settings` maps a protocol to the section of the recipe that may differ between its rows in one run, such as the
    settings of a search. Rows that differ there are no repetitions of each other.
    """
    sections = row_settings or {}

    def of_run(row: Row) -> dict[str, Any]:
        own = tuple(f"{section}." for section in sections.values())
        return {key: value for key, value in settings(row).items() if not key.startswith(own)}

    def of_repeats(row: Row) -> tuple[str, ...]:
        own = row.recipe.get(sections.get(row.protocol, ""))
        data = data_identity(row.dataset, str(row.checksums.get("data")), row.recipe)
        return row.protocol, row.split, str(row.objective), json.dumps(own, sort_keys=True), data

    groups = _grouped(rows, lambda row: (json.dumps(of_run(row), sort_keys=True), _family(row.dataset)))
    runs = []
    for name, members in zip(_names([group[0] for group in groups], of_run), groups, strict=True):
        repeats = tuple(tuple(sorted(group, key=lambda row: row.seed)) for group in _grouped(members, of_repeats))
        runs.append(Run(name, members[0].model, members[0].dataset, tuple(members), repeats))
    return runs


def _names(firsts: Sequence[Row], of_run: Callable[[Row], dict[str, Any]]) -> list[str]:
    """Return the names of the recipes of groups of rows, told apart by their settings and then by their data."""

    def by_settings(rows: Sequence[Row]) -> list[str]:
        return [f" ({different})" if different else "" for different in different_settings(rows, of_run)]

    def by_data(rows: Sequence[Row]) -> list[str]:
        return [f" on {text.data_title(row.dataset)}" for row in rows]

    names = [recipe_name(row) for row in firsts]
    for tell in (by_settings, by_settings, by_data):  # a name has three settings: the second time the next three
        for name in dict.fromkeys(names):
            namesakes = [i for i, other in enumerate(names) if other == name]
            for i, told in zip(namesakes, tell([firsts[i] for i in namesakes]), strict=True):
                names[i] = name + told if len(namesakes) > 1 else name
    return names


def not_summed_up(rows: Sequence[Row], sums_up: Mapping[str, str]) -> list[Row]:
    """Return the rows without those of networks that leave a city out, where a row is there that sums them up.

    `sums_up` maps the protocol of such a row to that of the rows that it is made of.
    """

    def key(row: Row, protocol: str) -> tuple[str, str]:
        own = {name: value for name, value in essentials(row.recipe).items() if name not in ("name", "data.leave_out")}
        return protocol, json.dumps(own, sort_keys=True)

    sums = {key(row, sums_up[row.protocol]) for row in rows if row.protocol in sums_up}
    return [row for row in rows if not _leaves_out(row) or key(row, row.protocol) not in sums]


def _leaves_out(row: Row) -> bool:
    return (row.recipe.get("data") or {}).get("leave_out") is not None


def rows_of(runs: Sequence[Run], protocols: Collection[str]) -> list[Row]:
    """Return the rows of some protocols."""
    return [row for run in runs for row in run.rows if row.protocol in protocols]


def shown(runs: Sequence[Run], protocols: Collection[str] | None = None) -> list[Row]:
    """Return the rows of some protocols, or of all, that get charts: of many rows those of each run's lowest seed."""
    every = sum(len(run.rows) for run in runs) <= ALL_SEEDS
    found = [row for run in runs for row in run.rows if every or row.seed == run.seeds[0]]
    return [row for row in found if protocols is None or row.protocol in protocols]


def repeats_of(runs: Sequence[Run], protocols: Collection[str]) -> list[tuple[Run, tuple[Row, ...]]]:
    """Return the groups of repetitions of some protocols, each with its run."""
    return [(run, repeats) for run in runs for repeats in run.repeats if repeats[0].protocol in protocols]


def recipe_name(row: Row) -> str:
    """Return the name of the row's recipe."""
    return str(row.recipe.get("name") or "unnamed")


def run_name(row: Row) -> str:
    """Return the name that `reproduce` gives the run: recipe, and configuration of the data unless the paper's."""
    config = (row.recipe.get("data") or {}).get("config")
    return recipe_name(row) if config in (None, "official") else f"{recipe_name(row)}-{config}"


def width(row: Row) -> float:
    """Return the width of the row's network; 1 is the published one."""
    return float((row.recipe.get("model") or {}).get("width", 1.0))


def bands(row: Row) -> tuple[str, ...]:
    """Return the bands, or the name of a set of them, that the row's network sees; empty for images."""
    return tuple((row.recipe.get("data") or {}).get("bands") or ())


def network(row: Row) -> str:
    """Return the name that the page gives a row's network: the paper's ("ViT"), or its own ("resnet18 x0.25")."""
    factor = width(row)
    entry = labels.find(row.dataset, row.model, bands(row), factor)
    own = row.model if factor == 1 else f"{row.model} x{factor:g}"
    return entry.model if entry else tables.paper_name(row.model, factor) or own


def settings(row: Row) -> dict[str, Any]:
    """Return the settings of the row's recipe that decide its result, without the seed."""
    return {key: value for key, value in essentials(row.recipe).items() if key != "seed"}


def different_settings(rows: Sequence[Row], of: Callable[[Row], dict[str, Any]] = settings) -> list[str]:
    """Return of each row its values of the first three settings that some rows do not share, as text."""
    every = [of(row) for row in rows]
    known = dict.fromkeys(key for own in every for key in own)
    keys = [key for key in known if any(own.get(key) != every[0].get(key) for own in every)]
    return [", ".join(f"{key.rpartition('.')[2]} {own.get(key)}" for key in keys[:3]) for own in every]


def _grouped(rows: Sequence[Row], key: Callable[[Row], tuple[str, ...]]) -> list[list[Row]]:
    """Return the rows in groups of one key, in the order of their first appearance."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.values())


def _family(dataset: str) -> str:
    """Return the kind of data: the two data sets of MtSCCD are one, since their rows share a network."""
    name, _, config = dataset.partition("/")
    return f"mtsccd/{config}" if name in ("mtsccd_lusc", "mtsccd_lucd") else dataset
