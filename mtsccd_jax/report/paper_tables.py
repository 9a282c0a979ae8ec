"""The paper's tables with ours beside them: Tables 6 and 7, what was leaked, and every published value checked."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtsccd_jax.report import naming, published, words
from mtsccd_jax.report.folders import Failure
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.words import NOT_KNOWN, Run

SPLITS = tuple(published.PAIRS_CHANGED)
# What validation of the paper's split promises too much of: CDC_1 and CDC_2 choose nothing on pairs, and the pairs that
# SSCD learns from are never its validation pairs.
_LEAKING = ("scene", "cfsm")
# What a cell holds of which the paper has a value and we have no row, or the other way round.
EMPTY = Cell(NOT_KNOWN)


@dataclass
class Line:
    """The rows of one run, protocol and objective, by split, over seeds."""

    run: Run
    protocol: str
    objective: str | None
    rows: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def first(self) -> Row:
        """One of its rows, for what they share."""
        return next(iter(self.rows.values()))[0]

    @property
    def network(self) -> str:
        """The paper's name of the network, or its own."""
        return self.run.network

    @property
    def narrow(self) -> bool:
        """Whether the network is not of the published width: a stand-in, which is called by its recipe."""
        return words.width(self.run.rows[0]) != 1


def lines(runs: Sequence[Run], protocols: Sequence[str]) -> list[Line]:
    """The runs' results on MtSCCD by these protocols, a line a run, protocol and objective."""
    found: dict[tuple[int, str, str | None], Line] = {}
    for index, run in enumerate(runs):
        if not run.dataset.startswith("mtsccd_"):
            continue
        for repeats in run.repeats:
            first = repeats[0]
            if first.protocol in protocols:
                key = index, first.protocol, first.objective
                line = found.setdefault(key, Line(run, first.protocol, first.objective))
                line.rows[first.split] = repeats
    return [line for line in found.values() if set(SPLITS) & line.rows.keys()]


def table_6(runs: Sequence[Run]) -> Table | None:
    """Scene classification in the layout of the paper's Table 6, ours beside it; None without rows of its test sets."""
    ours = lines(runs, ("scene",))
    if not ours:
        return None
    columns: list[tuple[str, bool]] = [("Network", False)]
    for split in SPLITS:
        where = words.split_name(split, "mtsccd_lusc")
        columns += [(f"{where}: paper's OA, %", True), ("ours, %", True)]
    rows, records = [], []
    for network, line in _by_network(ours, published.TABLE_6, alone=_alone(ours)):
        cells, record = [Cell(_title(network, line), _notes(line))], {"network": network, **_identity(line)}
        for split in SPLITS:
            paper = published.scene(network, split)
            repeats = line.rows.get(split, []) if line else []
            value = paper.oa if paper else None
            cells += [
                Cell(f"{100 * value:.2f}") if value is not None else EMPTY,
                own_value(repeats, "oa", _percent, _tenths),
            ]
            record |= {f"{split}_paper_oa": value, **own_record(repeats, split, "oa")}
        rows.append(cells)
        records.append(record)
    caption = (
        "Overall accuracy of scene classification in the layout of the paper's Table 6: the mean over seeds with its "
        "standard deviation, and the 95 % interval over re-drawn scenes of one network."
    )
    return Table("table6", caption, tuple(columns), rows, records)


def table_7(runs: Sequence[Run]) -> Table | None:
    """Change detection in the layout of the paper's Table 7, ours beside it; None without rows of its test sets."""
    ours = lines(runs, tuple(published.METHOD_NAMES))
    if not ours:
        return None
    columns: list[tuple[str, bool]] = [("Method and network", False)]
    for split in SPLITS:
        where = words.short_split(split, "mtsccd_lucd")
        columns += [(f"{where}: paper's OA", True), ("our OA", True), ("paper's kappa", True), ("our kappa", True)]
    columns += [("Threshold: paper's", True), ("ours", True)]
    rows, records = [], []
    for protocol, title in published.METHOD_NAMES.items():
        networks = [model for method, model in published.TABLE_7 if method == protocol]
        own = [line for line in ours if line.protocol == protocol]
        for network, line in _by_network(own, networks, alone=_alone(ours)):
            cells = [Cell(f"{title} {_title(network, line)}", _notes(line, objective=True))]
            record = {"method": protocol, "network": network, **_identity(line)}
            for split in SPLITS:
                paper = published.change(protocol, network, split)
                repeats = line.rows.get(split, []) if line else []
                for metric in ("oa", "kappa"):
                    value = getattr(paper, metric) if paper else None
                    wrong = paper is not None and metric == "kappa" and not paper.possible
                    notes = ("impossible",) if wrong else ()
                    cells.append(Cell(f"{value:.4f}", notes, "bad" if wrong else "") if value is not None else EMPTY)
                    cells.append(own_value(repeats, metric, words.four, words.number))
                    record |= {f"{split}_paper_{metric}": value, **own_record(repeats, split, metric)}
                record[f"{split}_paper_kappa_possible"] = paper.possible if paper else None
            threshold = published.TABLE_7_THRESHOLDS.get((protocol, network))
            first = next(iter(line.rows[s][0] for s in SPLITS if line and s in line.rows), None) if line else None
            cells += [
                Cell(f"{threshold:.4f}") if threshold is not None else EMPTY,
                Cell(words.threshold_text(first)) if first else EMPTY,
            ]
            rows.append(cells)
            records.append(record | {"paper_threshold": threshold, "threshold": first.threshold if first else None})
    caption = (
        "Change detection in the layout of the paper's Table 7: the mean over seeds with its standard deviation, and "
        "the 95 % interval over re-drawn pairs of one network. A dash: the paper has no such entry, or this report no "
        "such row. The paper's thresholds are of similarity on a scale that it does not give, ours are of distance: "
        "they are no comparison."
    )
    return Table("table7", caption, tuple(columns), rows, records)


def leak_table(runs: Sequence[Run], validation: Callable[[Row], float | None]) -> Table | None:
    """Validation beside test with the paper's split and with the leak-free one; None unless there are rows of both.

    Args:
        runs: All runs.
        validation: The row's own metric (OA of scenes, kappa of change) on its validation examples, where known.
    """
    by_config: dict[str, dict[tuple[str, str, str | None], Line]] = {"official": {}, "paired": {}}
    for line in lines(runs, _LEAKING):
        config = line.run.dataset.partition("/")[2]
        if config in by_config:
            same = {name: value for name, value in words.settings(line.first).items() if name != "data.config"}
            by_config[config][json.dumps(same, sort_keys=True), line.protocol, line.objective] = line
    both = [key for key in by_config["official"] if key in by_config["paired"]]
    firsts = [by_config["official"][key].first for key in both]
    rows: list[list[Cell]] = []
    records: list[dict[str, Any]] = []
    for key, first in zip(both, firsts, strict=True):
        _, protocol, _ = key
        metric = "oa" if protocol == "scene" else "kappa"
        title = "Scenes" if protocol == "scene" else words.method_name(protocol)
        cells = [Cell(f"{title}, {naming.network_among(first, firsts)}", (words.METRICS[metric],))]
        record: dict[str, Any] = {"protocol": protocol, "model": first.model}
        record |= {"recipe": words.recipe_name(first), "metric": metric}
        gaps = []
        for config in by_config:
            line = by_config[config][key]
            figures = {split: _mean(line.rows.get(split, []), metric) for split in SPLITS}
            seen = _mean(line.rows.get("validation", []), metric)
            if seen is None:
                known = [
                    v for split in SPLITS for row in line.rows.get(split, []) if (v := validation(row)) is not None
                ]
                seen = sum(known) / len(known) if known else None
            tests = [value for value in figures.values() if value is not None]
            gaps.append(seen - sum(tests) / len(tests) if seen is not None and tests else None)
            for name, value in (("validation", seen), *figures.items()):
                cells.append(Cell(words.number(value)))
                record[f"{config}_{name}"] = value
        leak = gaps[0] - gaps[1] if gaps[0] is not None and gaps[1] is not None else None
        rows.append([*cells, Cell(_signed(leak))])
        records.append(record | {"gap_official": gaps[0], "gap_paired": gaps[1], "leak": leak})
    if not rows:
        return None
    titles = [
        (f"{'Paper’s' if config == 'official' else 'Leak-free'} split: {name}", True)
        for config in by_config
        for name in ("validation", *(words.short_split(split, "mtsccd_lucd") for split in SPLITS))
    ]
    caption = (
        "What the leak was worth. In the paper's split the network may have been trained on either date of a "
        "validation pair, and on the other date of a validation scene; in the leak-free one it was on neither. Leak: "
        "how much more validation promises over the mean of both test sets with the paper's split than with the "
        "leak-free one, means over seeds. The networks of the two are trained apart: of few seeds it holds chance, too."
    )
    return Table("leak", caption, (("What", False), *titles, ("Leak", True)), rows, records)


def failures_table(failures: Sequence[Failure]) -> Table:
    """The rows that could not be made, each with its reason."""
    columns = (("Recipe", False), ("Method", False), ("Split", False), ("Seed", True), ("Reason", False))
    rows = [
        [
            Cell(f.network),
            Cell(words.method_name(f.protocol)),
            Cell(words.short_split(f.split, "mtsccd_lucd") if f.split else NOT_KNOWN),
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


def audit_table() -> Table:
    """Table 7 of the paper with the largest kappa each overall accuracy allows and what can be recovered."""
    columns = (
        ("Method", False),
        ("Network", False),
        ("Test set", False),
        ("OA", True),
        ("Kappa", True),
        ("Largest possible", True),
        ("Possible", False),
        ("Why", False),
    )
    rows, records = [], []
    for entry in published.audit():
        kind = "" if entry.possible else "bad"
        rows.append(
            [
                Cell(words.method_name(entry.method)),
                Cell(entry.model),
                Cell(published.CITIES[entry.split]),
                Cell(f"{entry.oa:.4f}"),
                Cell(f"{entry.kappa:.4f}", kind=kind),
                Cell(f"{entry.bound:.4f}"),
                Cell("yes" if entry.possible else "no", kind=kind),
                Cell(entry.reason),
            ]
        )
        tn, fp, fn, tp = entry.tables[0] if len(entry.tables) == 1 else (None, None, None, None)
        records.append(
            {
                "method": entry.method,
                "model": entry.model,
                "split": entry.split,
                "oa": entry.oa,
                "kappa": entry.kappa,
                "kappa_bound": round(entry.bound, 6),
                "possible": entry.possible,
                "all_unchanged": entry.all_unchanged,
                "tn": tn,
                "fp": fp,
                "fn": fn,
                "tp": tp,
            }
        )
    return Table("published_table7", "Every entry of the paper's Table 7, checked.", columns, rows, records)


def _alone(ours: Sequence[Line]) -> bool:
    """Whether all is of one network; then the paper's others are left out: they would be a table of dashes."""
    return len({line.network for line in ours}) <= 1


def _by_network(
    ours: Sequence[Line], networks: Sequence[str] | dict[str, Any], *, alone: bool
) -> list[tuple[str, Line | None]]:
    """(network, our line or None): the paper's networks in its order, then those that only we have."""
    pairs: list[tuple[str, Line | None]] = []
    for name in networks:
        own = [line for line in ours if line.network == name]
        pairs += [(name, line) for line in own] or ([] if alone else [(name, None)])
    others = [line for line in ours if line.network not in networks]
    others.sort(key=lambda line: (line.narrow, _title(line.network, line).lower()))
    return pairs + [(line.network, line) for line in others]


def _title(network: str, line: Line | None) -> str:
    """What a line is called: its network, or its recipe where the network is a narrow one, which stands for another."""
    return line.run.name if line is not None and line.narrow else network


def _notes(line: Line | None, *, objective: bool = False) -> tuple[str, ...]:
    """What the line is of, in small print: the recipe (or the network), and the objective of its threshold."""
    if line is None:
        return ("no row",)
    best = (f"best {line.objective}",) if objective and line.objective not in (None, "kappa") else ()
    return line.network if line.narrow else line.run.name, *best


def _identity(line: Line | None) -> dict[str, Any]:
    """Recipe, model, data and objective of a line as record."""
    return {
        "recipe": line.run.name if line else None,
        "model": line.run.model if line else None,
        "dataset": line.first.dataset if line else None,
        "objective": line.objective if line else None,
    }


def own_value(repeats: Sequence[Row], metric: str, show: Callable[[float], str], brief: Callable[[float], str]) -> Cell:
    """Our value: of one row with its interval, or the mean over seeds with its deviation and one seed's interval."""
    known = [(row, value) for row in repeats if (value := words.value_of(row, metric)) is not None]
    if not known:
        return EMPTY
    mean, deviation = words.mean_std([value for _, value in known])
    entry = known[0][0].metrics[metric]
    low, high = entry["low"], entry["high"]
    interval = f"[{brief(low)}, {brief(high)}]" if low is not None and high is not None else ""
    notes: tuple[str, ...] = (interval,)
    if deviation is not None:
        seed = f"seed {known[0][0].seed} {interval}" if interval else ""
        notes = f"± {show(deviation)}, {len(known)} seeds", seed
    return Cell(show(mean), tuple(note for note in notes if note))


def own_record(repeats: Sequence[Row], split: str, metric: str) -> dict[str, Any]:
    """Our value as record: mean and deviation over seeds, their number, and the interval of the first."""
    known = [(row, value) for row in repeats if (value := words.value_of(row, metric)) is not None]
    mean, deviation = words.mean_std([value for _, value in known]) if known else (None, None)
    entry = known[0][0].metrics[metric] if known else {}
    name = f"{split}_{metric}"
    return {
        name: mean,
        f"{name}_std": deviation,
        f"{name}_low": entry.get("low"),
        f"{name}_high": entry.get("high"),
        f"{split}_seeds": len(known),
    }


def _mean(repeats: Sequence[Row], metric: str) -> float | None:
    """The mean of the rows' values, or None where there is none."""
    known = [value for row in repeats if (value := words.value_of(row, metric)) is not None]
    return sum(known) / len(known) if known else None


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _tenths(value: float) -> str:
    return f"{100 * value:.1f}"


def _signed(value: float | None) -> str:
    return NOT_KNOWN if value is None else f"{value:+.3f}".replace("-", "−")
