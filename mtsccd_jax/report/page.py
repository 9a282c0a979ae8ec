"""The report: one page that needs no other file, made from rows and artefacts alone."""

import dataclasses
import importlib.resources
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import read_bytes, utf8
from mtsccd_jax.report import provenance, summary, text, unique_names
from mtsccd_jax.report.meaning import section as meaning
from mtsccd_jax.report.rows import ROWS_FILE
from mtsccd_jax.report.runs import Run, group_runs, not_summed_up
from mtsccd_jax.report.sections import Block, Section, TaskReport, environment
from mtsccd_jax.report.workdirs import failures, load_all, still_missing
from mtsccd_jax.report.writer import Writer, write_file

# Longer tables are folded away, and details with more figures stay closed.
LONG = 14
# What is in the head of every report.
MADE_BY, _HEAD_BYTES = " · mtsccd-jax</title>", 1 << 12


def write(
    workdirs: Sequence[str | os.PathLike[str]], out_dir: str | os.PathLike[str], tasks: Sequence[TaskReport]
) -> Path:
    """Write the report of some work directories; return the path of its `index.html`.

    A folder without rows stands for the work directories in it, and its `failures.json` for the rows that failed.
    Charts (SVG, PNG) and tables (CSV, Markdown, LaTeX) are written beside the page, in `figures` and `tables`. Where
    an artefact is absent or not the row's own, the page says so in its place.

    Raises:
        InputError: A work directory has no rows, a line of its `rows.jsonl` cannot be read or is of no task here, or a
            page that is no report is in the way.
    """
    failed = [failure for folder in workdirs for failure in failures(folder)]
    loaded = load_all(workdirs)
    if not loaded:
        raise InputError("no work directory given: name at least one")
    protocols = {protocol.name: protocol for task in tasks for protocol in task.protocols}
    for workdir, row in loaded:
        if row.protocol not in protocols:
            where = f"{workdir / ROWS_FILE}, row {row.id}"
            raise InputError(f"{where}: protocol {row.protocol!r} is none of {', '.join(protocols)}")
    every = [row for _, row in loaded]
    rows = not_summed_up(every, {name: other for task in tasks for name, other in task.sums_up.items()})
    runs = group_runs(rows, {name: protocol.row_settings for name, protocol in protocols.items()})
    index = Path(out_dir) / "index.html"
    refuse_foreign(index)
    writer = Writer(Path(out_dir), {row.id: workdir for workdir, row in loaded})
    present = [task for task in tasks if {row.protocol for row in rows} & {p.name for p in task.protocols}]

    training, speeds = provenance.training_figures(writer, runs)
    throughput = writer.table(provenance.throughput_table(runs, speeds, protocols))
    missing = still_missing(failed, every)
    failed_table = writer.table(summary.failures_table(missing, protocols)) if missing else None
    parts = [
        summary.section(runs, protocols, speeds, failed_table),
        provenance.training_section(training, throughput),
        provenance.provenance_section(writer, runs, protocols),
    ]
    parts.append(meaning.section(writer, runs, present))
    for sections_of in dict.fromkeys(function for task in present for function in task.sections):
        parts += sections_of(writer, runs)

    subtitle = _subtitle(runs, len(rows), len(set(writer.workdir_of.values())))
    write_file(index, utf8(render(_title(present), subtitle, put_together(parts))))
    return index


def refuse_foreign(index: Path) -> None:
    """Raise InputError where another page than a report is in the way."""
    if index.is_dir():
        raise InputError(f"{index}: a folder, where the page would be; choose another --out, or move it elsewhere")
    if index.exists() and MADE_BY.encode() not in read_bytes(index)[:_HEAD_BYTES]:
        raise InputError(
            f"{index}: is there already and no report of mtsccd-jax; choose another --out, or move it elsewhere"
        )


def put_together(parts: Iterable[Section]) -> list[Section]:
    """Return the sections in the order of the page; parts of one section become one, empty ones are left out."""
    sections: dict[str, Section] = {}
    for part in parts:
        first = sections.setdefault(part.id, dataclasses.replace(part, notes=(), blocks=(), footer=()))
        sections[part.id] = dataclasses.replace(
            first,
            notes=(*first.notes, *part.notes),
            blocks=_joined((*first.blocks, *part.blocks)),
            footer=(*first.footer, *part.footer),
        )
    return sorted((section for section in sections.values() if section.blocks), key=lambda section: section.place)


def _joined(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks without empty ones; neighbouring grids of charts become one, and so do neighbouring details."""
    joined: list[Block] = []
    for block in blocks:
        last = joined[-1] if joined else None
        if last and block.kind in ("figures", "details") and (block.kind, block.style) == (last.kind, last.style):
            joined[-1] = block._replace(content=[*last.content, *block.content])
        elif block.content:
            joined.append(block)
    return joined


def render(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the page as HTML; all text is escaped but charts, fragments and the style sheet, which are our own."""
    folder = importlib.resources.files(__package__)
    template = environment().from_string(folder.joinpath("page.html").read_text(encoding="utf-8"))
    css = folder.joinpath("page.css").read_text(encoding="utf-8")
    footer = " ".join(dict.fromkeys(sentence for section in sections for sentence in section.footer))
    return template.render(title=title, subtitle=subtitle, sections=sections, footer=footer, css=css, long=LONG)


def _title(tasks: Sequence[TaskReport]) -> str:
    """Return the title of the page: "Land use: scenes and change", "Images: labels and retrieval"."""
    topics = list(dict.fromkeys(topic for task in tasks for topic in task.topics))
    listed = " and ".join(filter(None, (", ".join(topics[:-1]), topics[-1])))
    return f"{tasks[0].subject}: {listed}"


def _subtitle(runs: Sequence[Run], rows: int, workdirs: int) -> str:
    """Return one line on what the report is made from."""
    recipes = list(dict.fromkeys(run.name for run in runs))
    common = unique_names.pattern(recipes)
    outline = common if common != "…" else f"{', '.join(recipes[:3])} and {len(recipes) - 3} more"
    names = f"Recipe {', '.join(recipes)}" if len(recipes) < 4 else f"{len(recipes)} recipes, {outline}"
    dirs = f"{workdirs} work director{'y' if workdirs == 1 else 'ies'}"
    return f"{names} · {text.plural(rows, 'row')} from {dirs}, {text.plural(workdirs, 'trained network')}"
