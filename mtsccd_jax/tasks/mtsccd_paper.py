"""The MtSCCD paper beside our rows: Tables 6 and 7, what the leak of its split is worth, and its values checked.

Scene classification and change detection share these parts of the page.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtsccd_jax.ops.metrics import binary_metrics
from mtsccd_jax.report import comparable, text
from mtsccd_jax.report.published import change, scene, tables
from mtsccd_jax.report.published.tables import CITIES, METHOD_NAMES, PAIRS_CHANGED, SCENES
from mtsccd_jax.report.results import EMPTY, own_record, own_value
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, recipe_name, repeats_of, rows_of, settings, width
from mtsccd_jax.report.sections import Block, Fold, Place, Section
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.unique_names import network_among
from mtsccd_jax.report.writer import Writer

SPLITS = tuple(PAIRS_CHANGED)
CITATION = (
    "MtSCCD: Zhou, Liu, Peng, Guan and Shao, National Remote Sensing Bulletin 28(2), 2024, doi 10.11834/jrs.20243210. "
    "A pair is predicted changed if and only if its distance is at least the threshold."
)
# Protocols whose validation the paper's split makes too good: CDC_1 and CDC_2 choose nothing on pairs, and the pairs
# that SSCD learns from are never its validation pairs.
_LEAKING = ("scene", "cfsm")


@dataclass
class Line:
    """The rows of one run, protocol and objective: split -> repetitions."""

    run: Run
    protocol: str
    objective: str | None
    rows: dict[str, Sequence[Row]] = field(default_factory=dict)

    @property
    def first(self) -> Row:
        """One of its rows, for what they share."""
        return next(iter(self.rows.values()))[0]

    @property
    def narrow(self) -> bool:
        """Whether the network is a small variant, which is named by its recipe."""
        return width(self.run.rows[0]) != 1


def beside_the_paper(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield the section with the paper's tables and ours, and with the worth of the leak."""
    found = [table for table in (table_6(runs), table_7(runs)) if table]
    if not found:
        return
    notes = [orientation_note(rows_of(runs, protocols)) for protocols in (("scene",), tuple(METHOD_NAMES))]
    blocks = [Block("tables", [writer.table(table) for table in found], "results paper")]
    if leak := leak_table(writer, runs):
        blocks += [Block("heading", "What the leak was worth"), Block("tables", [writer.table(leak)], "results")]
    yield Section(
        "paper", "Beside the paper", Place.BESIDE_PUBLISHED, blocks, "Beside the paper", list(filter(None, notes))
    )


def published_values(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield the section on which values of Table 7 are possible."""
    entries = tables.table_7()
    states = [entry.audit.state for entry in entries]
    idle, recovered = sum(bool(e.audit.all_unchanged) for e in entries), sum(bool(e.audit.recovered) for e in entries)
    prose = (
        f"{states.count('impossible')} of the {len(entries)} kappas of the paper's Table 7 are above the most that "
        f"their overall accuracy allows in any two-class table, kappa ≤ OA² / (1 + (1 − OA)²); {idle} entries have "
        "exactly the overall accuracy of never saying “changed”. Given the pairs and changed pairs of Hefei (5,078 and "
        f"933) and Nanjing (5,062 and 879), one integer table fits both printed numbers of {recovered} entries. Of "
        f"{states.count('no_table')} more none does, rounded or cut off, though they keep the bound: their numbers are "
        "of other pairs than these, or misprinted."
    )
    table = Fold("All entries of Table 7", [Block("tables", [writer.table(audit_table())], "dense audit")])
    blocks = [Block("prose", prose), Block("details", [table])]
    yield Section("audit", "The published values, checked", Place.PUBLISHED, blocks, "Published values")


def is_comparable(row: Row) -> bool:
    """Return whether the row is of as many real scenes or pairs as the paper's test set."""
    if row.generated:
        return False
    if row.protocol == "scene":
        return SCENES.get(row.split) == row.n
    return PAIRS_CHANGED.get(row.split) == (row.n, sum(row.confusion[1]))


def orientation_note(rows: Sequence[Row]) -> str:
    """Say why the paper's values are no comparison for these rows of scenes or of change; empty where they are one."""
    others = [row for row in rows if row.published and row.split in SPLITS and not is_comparable(row)]
    if not others:
        return ""
    sizes = {row.split: row.n for row in others}
    scenes = others[0].protocol == "scene"
    paper = [SCENES[split] if scenes else PAIRS_CHANGED[split][0] for split in sizes]
    published = f"test sets of {' and '.join(f'{n:,}' for n in paper)} {'scenes' if scenes else 'pairs'}"
    own = " and ".join(f"{n:,} ({text.short_split(split, 'mtsccd')})" for split, n in sizes.items())
    return comparable.orientation_note(others, "The paper's values", published, own)


def table_6(runs: Sequence[Run]) -> Table | None:
    """Return scene classification in the layout of the paper's Table 6; None without rows on its test sets."""
    ours = _lines(runs, ("scene",))
    if not ours:
        return None
    columns: list[tuple[str, bool]] = [("Network", False)]
    for split in SPLITS:
        where = text.split_name(split, "mtsccd_lusc")
        columns += [(f"{where}: paper's OA, %", True), ("ours, %", True)]
    rows, records = [], []
    for name, line in _by_network(ours, tables.TABLE_6, alone=_alone(ours)):
        cells, record = [Cell(_title(name, line), _notes(line))], {"network": name, **_identity(line)}
        for split in SPLITS:
            paper = scene(name, split)
            value, repeats = paper.oa if paper else None, _repeats(line, split)
            cells += [EMPTY if value is None else Cell(_percent(value)), own_value(repeats, "oa", _percent, _tenths)]
            record |= {f"{split}_paper_oa": value, **own_record(repeats, split, "oa")}
        rows.append(cells)
        records.append(record)
    caption = (
        "Overall accuracy of scene classification in the layout of the paper's Table 6: the mean over seeds with its "
        "standard deviation, and the 95 % interval over resampled scenes of one network."
    )
    return Table("table6", caption, tuple(columns), rows, records)


def table_7(runs: Sequence[Run]) -> Table | None:
    """Return change detection in the layout of the paper's Table 7; None without rows on its test sets."""
    ours = _lines(runs, tuple(METHOD_NAMES))
    if not ours:
        return None
    columns: list[tuple[str, bool]] = [("Method and network", False)]
    for split in SPLITS:
        where = text.short_split(split, "mtsccd_lucd")
        columns += [(f"{where}: paper's OA", True), ("our OA", True), ("paper's kappa", True), ("our kappa", True)]
    columns += [("Threshold: paper's", True), ("ours", True)]
    rows, records = [], []
    for method, title in METHOD_NAMES.items():
        networks = [model for known, model in tables.TABLE_7 if known == method]
        own = [line for line in ours if line.protocol == method]
        for name, line in _by_network(own, networks, alone=_alone(ours)):
            cells = [Cell(f"{title} {_title(name, line)}", _notes(line, objective=True))]
            record: dict[str, Any] = {"method": method, "network": name, **_identity(line)}
            for split in SPLITS:
                paper, repeats = change(method, name, split), _repeats(line, split)
                for metric in ("oa", "kappa"):
                    value = getattr(paper, metric) if paper else None
                    doubt = paper_doubt(method, paper.model, split) if paper and metric == "kappa" else ""
                    notes, kind = ((doubt,), "bad") if doubt else ((), "")
                    cells.append(EMPTY if value is None else Cell(text.four(value), notes, kind))
                    cells.append(own_value(repeats, metric))
                    record |= {f"{split}_paper_{metric}": value, **own_record(repeats, split, metric)}
                record[f"{split}_paper_kappa_possible"] = paper.possible if paper else None
            threshold = tables.TABLE_7_THRESHOLDS.get((method, name))
            first = next((_repeats(line, split)[0] for split in SPLITS if _repeats(line, split)), None)
            cells += [EMPTY if threshold is None else Cell(text.four(threshold))]
            cells += [Cell(threshold_text(first)) if first else EMPTY]
            rows.append(cells)
            records.append(record | {"paper_threshold": threshold, "threshold": first.threshold if first else None})
    caption = (
        "Change detection in the layout of the paper's Table 7: the mean over seeds with its standard deviation, and "
        "the 95 % interval over resampled pairs of one network. A dash: the paper has no such entry, or this report no "
        "such row. The paper's thresholds are of similarity on a scale that it does not give, ours are of distance: "
        "they are no comparison."
    )
    return Table("table7", caption, tuple(columns), rows, records)


def threshold_text(row: Row) -> str:
    """Return the threshold of a change row, "none" where it predicts no pair changed, a dash where it has none."""
    return "none" if row.threshold is None and row.threshold_from else text.number(row.threshold)


def paper_accuracy(row: Row) -> Cell:
    """Return the paper's overall accuracy beside a row, with the paper's name of the network."""
    model = (row.published or {}).get("model")
    return Cell(text.number(text.published_of(row, "oa")), (model,) if model else ())


def paper_doubt(method: str, name: str, split: str) -> str:
    """Return what is wrong with an entry of Table 7, of the paper's name of a network; empty where nothing is."""
    entry = tables.change_entry(method, name, split)
    return {"impossible": "impossible", "no_table": "no table fits"}.get(entry.audit.state, "") if entry else ""


def leak_table(writer: Writer, runs: Sequence[Run]) -> Table | None:
    """Return validation beside test with the paper's split and with the leak-free one; None unless both have rows."""
    by_config: dict[str, dict[tuple[str, str, str | None], Line]] = {"official": {}, "paired": {}}
    for line in _lines(runs, _LEAKING):
        config = line.run.dataset.partition("/")[2]
        if config in by_config:
            same = {name: value for name, value in settings(line.first).items() if name != "data.config"}
            by_config[config][json.dumps(same, sort_keys=True), line.protocol, line.objective] = line
    both = [key for key in by_config["official"] if key in by_config["paired"]]
    firsts = [by_config["official"][key].first for key in both]
    rows, records = [], []
    for key, first in zip(both, firsts, strict=True):
        protocol = first.protocol
        metric, title = ("oa", "Scenes") if protocol == "scene" else ("kappa", METHOD_NAMES[protocol])
        cells = [Cell(f"{title}, {network_among(first, firsts)}", (text.METRICS[metric],))]
        record: dict[str, Any] = {"protocol": protocol, "model": first.model}
        record |= {"recipe": recipe_name(first), "metric": metric}
        gaps = []
        for config, lines in by_config.items():
            tests = {
                split: _mean(text.value_of(row, metric) for row in _repeats(lines[key], split)) for split in SPLITS
            }
            validation, mean = _validation(writer, lines[key], metric), _mean(tests.values())
            gaps.append(validation - mean if validation is not None and mean is not None else None)
            for name, value in {"validation": validation, **tests}.items():
                cells.append(Cell(text.number(value)))
                record[f"{config}_{name}"] = value
        leak = gaps[0] - gaps[1] if gaps[0] is not None and gaps[1] is not None else None
        rows.append([*cells, Cell(text.signed(leak))])
        records.append(record | {"gap_official": gaps[0], "gap_paired": gaps[1], "leak": leak})
    if not rows:
        return None
    titles = [
        (f"{'Paper’s' if config == 'official' else 'Leak-free'} split: {name}", True)
        for config in by_config
        for name in ("validation", *CITIES.values())
    ]
    caption = (
        "What the leak was worth. In the paper's split the network may have been trained on either date of a "
        "validation pair, and on the other date of a validation scene; in the leak-free one it was on neither. Leak: "
        "how much more validation promises over the mean of both test sets with the paper's split than with the "
        "leak-free one, means over seeds. The networks of the two are trained apart: of few seeds it holds chance, too."
    )
    return Table("leak", caption, (("What", False), *titles, ("Leak", True)), rows, records)


def audit_table() -> Table:
    """Return Table 7 with the largest kappa that each overall accuracy allows and what can be recovered."""
    titles = ("Method", "Network", "Test set", "OA", "Kappa", "Largest possible", "Possible", "Why")
    columns = tuple((title, title in ("OA", "Kappa", "Largest possible")) for title in titles)
    rows, records = [], []
    for entry in tables.table_7():
        audit, kind = entry.audit, "" if entry.audit.state == "possible" else "bad"
        names = METHOD_NAMES[entry.method], entry.model, CITIES[entry.split], text.four(entry.oa)
        rows.append(
            [
                *map(Cell, names),
                Cell(text.four(entry.kappa), kind=kind),
                Cell(text.four(audit.bound)),
                Cell({"possible": "yes", "no_table": "no\u00a0table"}.get(audit.state, "no"), kind=kind),
                Cell(entry.reason),
            ]
        )
        facts = {name: getattr(entry, name) for name in ("method", "model", "split", "oa", "kappa")}
        checked = {
            "kappa_bound": round(audit.bound, 6),
            "possible": audit.possible,
            "state": audit.state,
            "all_unchanged": audit.all_unchanged,
        }
        counts = dict(zip(("tn", "fp", "fn", "tp"), audit.recovered or (None,) * 4, strict=True))
        records.append({**facts, **checked, **counts})
    return Table("published_table7", "Every entry of the paper's Table 7, checked.", columns, rows, records)


def _lines(runs: Sequence[Run], protocols: Sequence[str]) -> list[Line]:
    """Return the results on MtSCCD's test sets by these protocols, a line a run, protocol and objective."""
    found: dict[tuple[int, str, str | None], Line] = {}
    for run, repeats in repeats_of([run for run in runs if run.dataset.startswith("mtsccd_")], protocols):
        first = repeats[0]
        line = found.setdefault((id(run), first.protocol, first.objective), Line(run, first.protocol, first.objective))
        line.rows[first.split] = repeats
    return [line for line in found.values() if set(SPLITS) & line.rows.keys()]


def _repeats(line: Line | None, split: str) -> Sequence[Row]:
    """Return the rows of a line on a split; none without a line."""
    return line.rows.get(split, ()) if line else ()


def _alone(ours: Sequence[Line]) -> bool:
    """Return whether all lines have one network; then the paper's other networks would be a table of dashes."""
    return len({line.run.network for line in ours}) <= 1


def _by_network(
    ours: Sequence[Line], networks: Sequence[str] | dict[str, Any], *, alone: bool
) -> list[tuple[str, Line | None]]:
    """Return (network, our line or None): the paper's networks in its order, unless `alone`, then all others."""
    pairs: list[tuple[str, Line | None]] = []
    for name in networks:
        own = [line for line in ours if line.run.network == name]
        pairs += [(name, line) for line in own] or ([] if alone else [(name, None)])
    others = [line for line in ours if line.run.network not in networks]
    others.sort(key=lambda line: (line.narrow, _title(line.run.network, line).lower()))
    return pairs + [(line.run.network, line) for line in others]


def _title(name: str, line: Line | None) -> str:
    """Return the title of a line: its network, or its recipe where the network is a small variant."""
    return line.run.name if line is not None and line.narrow else name


def _notes(line: Line | None, *, objective: bool = False) -> tuple[str, ...]:
    """Return the small print of a line: the recipe (or the network), and the objective of its threshold."""
    if line is None:
        return ("no row",)
    best = (f"best {line.objective}",) if objective and line.objective not in (None, "kappa") else ()
    return line.run.network if line.narrow else line.run.name, *best


def _identity(line: Line | None) -> dict[str, Any]:
    """Return recipe, model, data and objective of a line as record."""
    return {
        "recipe": line.run.name if line else None,
        "model": line.run.model if line else None,
        "dataset": line.first.dataset if line else None,
        "objective": line.objective if line else None,
    }


def _validation(writer: Writer, line: Line, metric: str) -> float | None:
    """Return the mean metric of a line on validation: of its validation rows, else on the pairs of its thresholds."""
    mean = _mean(text.value_of(row, metric) for row in _repeats(line, "validation"))
    tests = [row for split in SPLITS for row in _repeats(line, split)]
    return mean if mean is not None else _mean(_kappa_on_validation(writer, row) for row in tests)


def _kappa_on_validation(writer: Writer, row: Row) -> float | None:
    """Return a row's kappa on the pairs that its threshold was chosen on, where they are known."""
    arrays = writer.artefact(row, "validation", ("distance", "changed"))
    if isinstance(arrays, str):
        return None
    changed = arrays["changed"].astype(bool)
    predicted = arrays["distance"] >= (np.inf if row.threshold is None else row.threshold)
    counts = [((changed == truth) & (predicted == said)).sum() for truth in (False, True) for said in (False, True)]
    return binary_metrics(np.array(counts))["kappa"]


def _mean(values: Any) -> float | None:
    """Return the mean of the known values, or None without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _tenths(value: float) -> str:
    return f"{100 * value:.1f}"
