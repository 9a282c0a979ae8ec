"""The report: one page that needs nothing but itself, drawn from rows and artefacts alone."""

import dataclasses
import importlib.resources
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import flatten
from mtsccd_jax.report import (
    comparisons,
    examples,
    folders,
    label_comparisons,
    label_results,
    label_sections,
    label_tables,
    naming,
    paper_tables,
    published,
    row_tables,
    rows,
    sections,
    sentences,
    sheets,
    transitions,
    words,
)
from mtsccd_jax.report.folder import Folder, write_text
from mtsccd_jax.report.folders import Failure
from mtsccd_jax.report.label_results import Source
from mtsccd_jax.report.rows import CHANGE, Row
from mtsccd_jax.report.tables import Table
from mtsccd_jax.report.words import Run

# (protocol, metric, title) of the large numbers at the top.
TILES = (
    ("scene", "oa", "Scenes named correctly"),
    ("cfsm", "kappa", "Change by CFSM, kappa"),
    ("cdc_1", "kappa", "Change by CDC_1, kappa"),
    ("cdc_2", "kappa", "Change by CDC_2, kappa"),
    ("sscd", "kappa", "Change by SSCD, kappa"),
    ("multilabel", "ap_macro", "Labels, average precision"),
    ("retrieval", "map", "Retrieval, mAP"),
)

# Longer lists of rows, networks and curves are folded away.
LONG = 14
# So many networks' labels make the cards of example images too tall to stand open.
MANY_OPINIONS = 6


def write(workdirs: Sequence[str | os.PathLike[str]], out_dir: str | os.PathLike[str]) -> Path:
    """The path of `index.html` in `out_dir`, written from the rows and artefacts of some work directories.

    A folder without rows stands for the work directories in it, and its `failures.json` for the rows that failed.
    Figures (SVG, PNG) and tables (CSV, Markdown, LaTeX) are written beside the page, in `figures` and `tables`. Where
    an artefact is not there or not the row's own, the page says so in its place.

    Raises:
        InputError: A work directory has no rows, or a line of its `rows.jsonl` cannot be read.
    """
    workdir_of: dict[str, Path] = {}
    all_rows: list[Row] = []
    failed: list[Failure] = []
    for given in map(Path, workdirs):
        failed += folders.failures(given)
        inside = folders.work_directories(given)
        loaded = [(workdir, row) for workdir in inside for row in rows.load(workdir)]
        if not loaded:
            raise InputError(f"{given / rows.ROWS_FILE}: no rows; run `mtsccd-jax evaluate {given}` first")
        for workdir, row in loaded:
            # The same recipe run again elsewhere is a repetition: its rows need names of their own here.
            repetition = sum(known.partition("-")[0] == row.id for known in workdir_of)
            named = dataclasses.replace(row, id=f"{row.id}-{repetition + 1}") if repetition else row
            all_rows.append(named)
            workdir_of[named.id] = workdir
    if not all_rows:
        raise InputError("no work directory given: name at least one")
    folder = Folder(Path(out_dir), workdir_of)
    index = folder.out_dir / "index.html"
    write_text(index, _render(_content(folder, all_rows, still_missing(failed, all_rows))))
    return index


def still_missing(failed: Sequence[Failure], all_rows: Sequence[Row]) -> list[Failure]:
    """The failures whose row is not there: a later run may have made it, and been stopped before it said so."""
    there = {(words.run_name(row), row.seed, row.protocol, row.split) for row in all_rows}
    return [f for f in failed if (f.network, f.seed, f.protocol, f.split) not in there]


def _content(folder: Folder, all_rows: list[Row], failed: list[Failure]) -> dict[str, Any]:
    """Everything the template shows."""
    runs = words.group_runs(all_rows)
    scene_rows = [row for row in all_rows if row.protocol == "scene"]
    change_rows = [row for row in all_rows if row.protocol in CHANGE]
    kinds = {words.kind(row) for row in all_rows}
    training, speeds = sections.training_figures(folder, runs)
    return {
        "title": _title(kinds),
        "land_use": bool({"scene", "change"} & kinds),
        "subtitle": _subtitle(runs, len(all_rows), len(set(folder.workdir_of.values()))),
        "long": LONG,
        "many_opinions": MANY_OPINIONS,
        "tiles": _tiles(runs, speeds),
        "generated": words.generated_note(all_rows),
        "headline": sentences.headline(runs),
        "paper": _written(folder, paper_tables.table_6(runs), paper_tables.table_7(runs)),
        "paper_notes": [note for kind in (scene_rows, change_rows) if (note := words.orientation_note(kind))],
        "leak": _written(folder, paper_tables.leak_table(runs, sections.validation_metric(folder))),
        "failed": _written(folder, paper_tables.failures_table(failed) if failed else None),
        "pareto": sections.pareto(folder, runs),
        "differences": _differences(folder, runs),
        "scene_tables": _written(folder, row_tables.scene_table(runs)) if scene_rows else [],
        "scene_overview": sections.overview(folder, runs, "scene"),
        "scene_details": sections.scene_details(folder, runs),
        "change_tables": _written(folder, row_tables.change_table(runs)) if change_rows else [],
        "change_overview": sections.overview(folder, runs, "change"),
        "change_details": sections.change_details(folder, runs),
        "transitions": transitions.details(folder, runs),
        "label_tables": _written(folder, label_tables.label_table(runs)) if "labels" in kinds else [],
        "label_published": _beside_published(folder, runs, all_rows),
        "label_overview": label_sections.overview(folder, runs, "multilabel"),
        "label_details": label_sections.label_details(folder, runs),
        "label_examples": label_sections.label_examples(folder, runs),
        "retrieval_tables": _written(folder, label_tables.retrieval_table(runs)) if "retrieval" in kinds else [],
        "retrieval_overview": label_sections.overview(folder, runs, "retrieval"),
        "searches": label_sections.searches(folder, runs),
        "scenes": sections.scene_sheet(folder, scene_rows),
        "examples": examples.verdict_grids(folder, runs),
        "data_uri": sheets.data_uri,
        "number": words.number,
        "training": training,
        "throughput": folder.table(row_tables.throughput_table(runs, speeds)),
        "audit": folder.table(paper_tables.audit_table()) if {"scene", "change"} & kinds else None,
        "audit_words": _audit_words(),
        "provenance": [_provenance(folder, run, seed) for run in runs for seed in run.seeds],
    }


def _written(folder: Folder, *made: Table | None) -> list[Table]:
    """The tables that there are, written to the folder."""
    return [folder.table(table) for table in made if table is not None]


def _title(kinds: set[str]) -> str:
    """What the report is about: "Land use: scenes and change", "Images: labels and retrieval"."""
    land_use = {"scene", "change"} & kinds
    parts = ["scenes", "change"] * bool(land_use) + [kind for kind in ("labels", "retrieval") if kind in kinds]
    listed = " and ".join(text for text in (", ".join(parts[:-1]), parts[-1]) if text)
    return f"{'Land use' if land_use else 'Images'}: {listed}"


def _beside_published(folder: Folder, runs: Sequence[Run], all_rows: Sequence[Row]) -> list[tuple[Source, str, Table]]:
    """(source, why its values are no comparison or nothing, our rows beside it) of every source of labels."""
    found = []
    for source, table in label_tables.published_tables(runs):
        own = [
            row for row in all_rows if label_results.source_of(row.dataset) is source and words.kind(row) == "labels"
        ]
        found.append((source, words.orientation_note(own), folder.table(table)))
    return found


def _differences(folder: Folder, runs: Sequence[Run]) -> list[Table]:
    """A table for every test set on which rows can be compared."""

    def predictions(row: Row, names: Sequence[str]) -> dict[str, np.ndarray] | str:
        return folder.artefact(row, "predictions", names)

    tables = []
    found = comparisons.contests(runs, predictions)
    firsts = [contenders[0].row for contenders in found]
    # Splits are told apart among scenes and among pairs: the titles say which of the two they are.
    for kind in dict.fromkeys(map(words.kind, firsts)):
        own = [(contenders, row) for contenders, row in zip(found, firsts, strict=True) if words.kind(row) == kind]
        titles = [words.split_name(row.split, row.dataset) for _, row in own]
        for where, (contenders, _) in zip(naming.titles_apart(titles, [row for _, row in own]), own, strict=True):
            folder.table(comparisons.pair_table(contenders, where))
            tables.append(folder.table(comparisons.comparison_table(contenders, where)))
    of_labels = label_comparisons.contests(runs, predictions)
    firsts = [contenders[0].row for contenders in of_labels]
    titles = naming.titles_apart([words.place(row) for row in firsts], firsts)
    for where, named in zip(titles, of_labels, strict=True):
        folder.table(label_comparisons.pair_table(named, where))
        tables.append(folder.table(label_comparisons.comparison_table(named, where)))
    return tables


def _render(content: dict[str, Any]) -> str:
    """The page as HTML; all text is escaped but the charts and the style sheet, which are our own."""
    import jinja2
    from markupsafe import Markup

    folder = importlib.resources.files(__package__)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["safe_svg"] = Markup
    template = environment.from_string(folder.joinpath("page.html").read_text(encoding="utf-8"))
    css = folder.joinpath("page.css").read_text(encoding="utf-8")
    return template.render(**content, css=Markup(css))


def _subtitle(runs: Sequence[Run], row_count: int, workdirs: int) -> str:
    """One line on what the report is of."""
    seeds = sum(len(run.seeds) for run in runs)
    recipes = list(dict.fromkeys(run.name for run in runs))
    names = f"Recipe {', '.join(recipes)}" if len(recipes) < 4 else f"{len(recipes)} recipes, {_outline(recipes)}"
    rows_text = f"{row_count} row{'s' * (row_count != 1)}"
    dirs_text = f"{workdirs} work director{'y' if workdirs == 1 else 'ies'}"
    return f"{names} · {rows_text} from {dirs_text}, {seeds} trained network{'s' * (seeds != 1)}"


def _outline(recipes: Sequence[str]) -> str:
    """What the names of many recipes have in common, else the first of them."""
    common = naming.pattern(recipes)
    return common if common != "…" else f"{', '.join(recipes[:3])} and {len(recipes) - 3} more"


def _tiles(runs: Sequence[Run], speeds: dict[tuple[str, int], float]) -> list[dict[str, Any]]:
    """The few numbers that are shown large: a tile a protocol with a value a split, and the training speed."""
    tiles = []
    for protocol, metric, title in TILES:
        members = [row for run in runs for row in run.rows if row.protocol == protocol]
        members = [row for row in members if words.value_of(row, metric) is not None]
        tests = [row for row in members if row.split not in ("train", "validation")] or members
        places = dict.fromkeys(words.short_place(row) for row in tests)
        values = [_tile_value([row for row in tests if words.short_place(row) == where], metric) for where in places]
        if values:
            tiles.append({"title": title, "values": values})
    if speeds:
        text = " to ".join(f"{rate:,.0f}" for rate in sorted({min(speeds.values()), max(speeds.values())}))
        value = {"split": "median step", "text": text, "note": runs[0].rows[0].device, "ranged": len(speeds) > 1}
        tiles.append({"title": "Training, images/s", "values": [value]})
    return tiles


def _tile_value(members: Sequence[Row], metric: str) -> dict[str, Any]:
    """One value of a tile: a row's with its interval, or the range of several rows."""

    def show(value: float) -> str:
        return words.percent(value) if metric == "oa" else words.number(value, 2)

    def show_range(low: float, high: float) -> str:
        return f"{100 * low:.0f} to {words.percent(high, 0)}" if metric == "oa" else f"{show(low)} to {show(high)}"

    entry, values = members[0].metrics[metric], [words.value_of(row, metric) or 0.0 for row in members]
    low, high = entry["low"], entry["high"]
    text, note = show(values[0]), "no interval" if low is None or high is None else f"{show(low)} to {show(high)}"
    if len(members) > 1:
        text, note = show_range(min(values), max(values)), f"{len(members)} rows"
    return {"split": words.short_place(members[0]), "text": text, "note": note, "ranged": len(members) > 1}


def _audit_words() -> str:
    """What the audit of Table 7 finds, in two sentences."""
    entries = published.audit()
    impossible = sum(not e.possible for e in entries)
    idle, recovered = sum(e.all_unchanged for e in entries), sum(len(e.tables) == 1 for e in entries)
    return (
        f"{impossible} of the {len(entries)} kappas of the paper's Table 7 are above the most that their overall "
        f"accuracy allows in any two-class table, kappa ≤ OA² / (1 + (1 − OA)²); {idle} entries have exactly the "
        f"overall accuracy of never saying “changed”. For {recovered} entries one integer table fits both printed "
        "numbers, given the pairs and changed pairs of Hefei (5,078 and 933) and Nanjing (5,062 and 879)."
    )


def _provenance(folder: Folder, run: Run, seed: int) -> dict[str, Any]:
    """Where the rows of one network come from, as (name, value) lists."""
    members = [row for row in run.rows if row.seed == seed]
    first = members[0]
    facts = {
        "Work directory": ", ".join(dict.fromkeys(folder.workdir_of[row.id].name for row in members)),
        "Device": ", ".join(dict.fromkeys(row.device or words.NOT_KNOWN for row in members)),
        "Commit": ", ".join(dict.fromkeys(row.commit or "not in a checkout" for row in members)),
    }
    return {
        "title": f"{run.network}, recipe {run.name}, seed {seed}",
        "facts": list(facts.items()),
        "versions": sorted(first.versions.items()),
        "recipe": [(key, _text(value)) for key, value in flatten(first.recipe).items()],
        "rows": [_row_facts(row) for row in members],
    }


def _row_facts(row: Row) -> dict[str, Any]:
    """One row's identity, times and checksums as (name, value) lists."""
    seconds = ("seconds", "train", "evaluate")
    times = {
        key.replace("_", " "): f"{value:,.1f} s"
        if isinstance(value, float) and key.startswith(seconds)
        else _text(value)
        for key, value in row.times.items()
    }
    facts = {"Row": row.id, "Data": row.dataset, "Examples": f"{row.n:,}", **times}
    return {
        "title": f"{words.method_name(row.protocol)}, {words.split_name(row.split, row.dataset)}",
        "facts": list(facts.items()),
        "checksums": [(key, _text(value)) for key, value in flatten(row.checksums).items()],
    }


def _text(value: Any) -> str:
    """A value as text."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
