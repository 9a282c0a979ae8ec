"""The report: one page that needs nothing but itself, drawn from rows and artefacts alone."""

import dataclasses
import importlib.resources
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtsccd_jax.config import flatten
from mtsccd_jax.errors import InputError
from mtsccd_jax.report import published, rows, sections, sheets, tables, words
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.sections import Folder
from mtsccd_jax.report.words import Run

# (protocol, metric, title) of the large numbers at the top.
TILES = (
    ("scene", "oa", "Scenes named correctly"),
    ("cfsm", "kappa", "Change by CFSM, kappa"),
    ("cdc_1", "kappa", "Change by CDC_1, kappa"),
)


def write(workdirs: Sequence[str | os.PathLike[str]], out_dir: str | os.PathLike[str]) -> Path:
    """The path of `index.html` in `out_dir`, written from the rows and artefacts of some work directories.

    Figures (SVG, PNG) and tables (CSV, Markdown) are written beside it, in `figures` and `tables`. Where an artefact is
    not there or not the row's own, the page says so in its place.

    Raises:
        InputError: A work directory has no rows, or a line of its `rows.jsonl` cannot be read.
    """
    workdir_of: dict[str, Path] = {}
    all_rows: list[Row] = []
    for workdir in map(Path, workdirs):
        loaded = rows.load(workdir)
        if not loaded:
            raise InputError(f"{workdir / rows.ROWS_FILE}: no rows; run `mtsccd-jax evaluate {workdir}` first")
        for row in loaded:
            # The same recipe run again elsewhere is a repetition: its rows need names of their own here.
            repetition = sum(known.partition("-")[0] == row.id for known in workdir_of)
            named = dataclasses.replace(row, id=f"{row.id}-{repetition + 1}") if repetition else row
            all_rows.append(named)
            workdir_of[named.id] = workdir
    if not all_rows:
        raise InputError("no work directory given: name at least one")
    folder = Folder(Path(out_dir), workdir_of)
    index = folder.out_dir / "index.html"
    sections.write_text(index, _render(_content(folder, all_rows)))
    return index


def _content(folder: Folder, all_rows: list[Row]) -> dict[str, Any]:
    """Everything the template shows."""
    runs = words.group_runs(all_rows)
    scene_rows = [row for row in all_rows if row.protocol == "scene"]
    change_rows = [row for row in all_rows if row.protocol != "scene"]
    training, speeds = sections.training_figures(folder, runs)
    scene_tables = [folder.table(tables.scene_table(runs))] if scene_rows else []
    change_tables = [folder.table(tables.change_table(runs))] if change_rows else []
    return {
        "title": "Land use: scenes and change",
        "subtitle": _subtitle(runs, len(all_rows), len(set(folder.workdir_of.values()))),
        "tiles": _tiles(runs, speeds),
        "headline": words.headline(runs),
        "more_runs": max(0, len(runs) - words.HEADLINE_RUNS),
        "scene_tables": scene_tables,
        "scene_note": words.orientation_note(scene_rows),
        "scene_overview": sections.overview(folder, runs, "scene"),
        "scene_details": sections.details(runs, lambda row: sections.scene_figures(folder, row), folder, "scene"),
        "change_tables": change_tables,
        "change_note": words.orientation_note(change_rows),
        "change_overview": sections.overview(folder, runs, "change"),
        "change_details": sections.details(runs, lambda row: sections.change_figures(folder, row), folder, "change"),
        "scenes": sections.scene_sheet(folder, scene_rows),
        "examples": sections.examples(folder, runs),
        "data_uri": sheets.data_uri,
        "training": training,
        "throughput": folder.table(tables.throughput_table(runs, speeds)),
        "audit": folder.table(tables.audit_table()),
        "audit_words": _audit_words(),
        "provenance": [_provenance(row, folder.workdir_of[row.id].name) for row in all_rows],
    }


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
    names = ", ".join(recipes[:4]) + (f" and {len(recipes) - 4} more" if len(recipes) > 4 else "")
    rows_text = f"{row_count} row{'s' * (row_count != 1)}"
    dirs_text = f"{workdirs} work director{'y' if workdirs == 1 else 'ies'}"
    return f"Recipe {names} · {rows_text} from {dirs_text}, {seeds} trained network{'s' * (seeds != 1)}"


def _tiles(runs: Sequence[Run], speeds: dict[tuple[str, int], float]) -> list[dict[str, Any]]:
    """The few numbers that are shown large: a tile a protocol with a value a split, and the training speed."""
    tiles = []
    for protocol, metric, title in TILES:
        members = [row for run in runs for row in run.rows if row.protocol == protocol]
        members = [row for row in members if words.value_of(row, metric) is not None]
        values = [
            _tile_value([row for row in members if row.split == split], metric)
            for split in dict.fromkeys(row.split for row in members)
        ]
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

    entry, values = members[0].metrics[metric], [words.value_of(row, metric) or 0.0 for row in members]
    low, high = entry["low"], entry["high"]
    text, note = show(values[0]), "no interval" if low is None or high is None else f"{show(low)} to {show(high)}"
    if len(members) > 1:
        text, note = f"{show(min(values))} to {show(max(values))}", f"{len(members)} rows"
    where = words.short_split(members[0].split, members[0].dataset)
    return {"split": where, "text": text, "note": note, "ranged": len(members) > 1}


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


def _provenance(row: Row, workdir: str) -> dict[str, Any]:
    """Where one row comes from, as (name, value) lists."""

    def text(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.6g}"
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    times = {key.replace("_", " "): value for key, value in row.times.items()}
    facts = {
        "Row": row.id,
        "Work directory": workdir,
        "Data": row.dataset,
        "Split": row.split,
        "Examples": f"{row.n:,}",
        "Device": row.device or words.NOT_KNOWN,
        "Commit": row.commit or "not in a checkout",
    }
    seconds = ("seconds", "train", "evaluate")
    clock = {k: f"{v:,.1f} s" if isinstance(v, float) and k.startswith(seconds) else text(v) for k, v in times.items()}
    method = words.method_name(row.protocol)
    return {
        "title": f"{method}, {words.split_name(row.split, row.dataset)}, {row.model}, seed {row.seed}",
        "facts": list(facts.items()),
        "times": list(clock.items()),
        "versions": sorted(row.versions.items()),
        "recipe": [(key, text(value)) for key, value in flatten(row.recipe).items()],
        "checksums": [(key, text(value)) for key, value in flatten(row.checksums).items()],
    }
