"""How rows came about: training curves, throughput, and what each network was made from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.recipes.config import flatten
from mtsccd_jax.report import text
from mtsccd_jax.report.pictures import charts
from mtsccd_jax.report.results import small_print
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, recipe_name
from mtsccd_jax.report.sections import Block, Figure, Fold, Place, Protocol, Section, fragment
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.text import NOT_KNOWN
from mtsccd_jax.report.unique_names import rows_apart
from mtsccd_jax.report.writer import Writer

# More training curves are folded away.
_MANY = 14


def training_section(figures: Sequence[Figure], throughput: Table) -> Section:
    """Return the section on training and speed."""
    curves = Block("figures", figures, "large")
    if len(figures) > _MANY:
        curves = Block("details", [Fold(f"{len(figures)} training curves", [Block("figures", figures)])])
    blocks = [curves, Block("long tables", [throughput])]
    return Section("training", "Training and speed", Place.TRAINING, blocks, "Training")


def provenance_section(writer: Writer, runs: Sequence[Run], protocols: Mapping[str, Protocol]) -> Section:
    """Return the section on where the rows of each network come from."""
    folds = [
        Fold(f"{run.network}, recipe {run.name}, seed {seed}", [_origin(writer, run, seed, protocols)])
        for run in runs
        for seed in run.seeds
    ]
    return Section("provenance", "Provenance", Place.PROVENANCE, [Block("details", folds)], "Provenance")


def training_figures(writer: Writer, runs: Sequence[Run]) -> tuple[list[Figure], dict[tuple[str, int], float]]:
    """Draw loss and throughput of every trained network; return the median images/s by (recipe, seed) as well."""
    drawn: list[Figure] = []
    speeds: dict[tuple[str, int], float] = {}
    # A network has several runs where it is evaluated on several data sets, or by its head and by an SVM.
    trained: dict[tuple[Path, int], list[tuple[Run, Row]]] = {}
    for run in runs:
        for row in run.rows:
            trained.setdefault((writer.workdir_of[row.id], row.seed), []).append((run, row))
    names = rows_apart([members[0][1] for members in trained.values()])
    for ((_, seed), members), which in zip(trained.items(), names, strict=True):
        # The training history grows until training ends: the newest row has the whole of it.
        run, newest = members[0][0], sorted((row for _, row in members), key=lambda row: str(row.times.get("finished")))
        row = next((row for row in reversed(newest) if "training" in row.artefacts), newest[0])
        arrays = writer.artefact(row, "training", ("step", "loss"))
        if isinstance(arrays, str) or not len(arrays["step"]):
            missing = arrays if isinstance(arrays, str) else "The training history is empty."
            drawn.append(Figure(f"Training, {which}", missing=missing))
            continue
        step, name = arrays["step"], f"{run.name}_{run.model}_seed{seed}".replace(" ", "_").replace("/", "_")
        alt = f"Training loss of {which} by step"
        chart = charts.loss_curve(step, arrays["loss"], arrays.get("learning_rate"), alt)
        drawn.append(writer.draw(f"loss_{name}", f"Loss, {which}", "", chart))
        rate = arrays.get("images_per_s", np.array([]))
        known = np.isfinite(rate)
        if known.any():
            speeds[run.name, seed] = float(np.median(rate[known]))
            chart = charts.throughput(step[known], rate[known], f"Training throughput of {which} by step")
            drawn.append(writer.draw(f"throughput_{name}", f"Throughput, {which}", "", chart))
    return drawn, speeds


def throughput_table(
    runs: Sequence[Run], training: Mapping[tuple[str, int], float], protocols: Mapping[str, Protocol]
) -> Table:
    """Return the table of images/s of training, by (recipe, seed), and of every evaluation."""
    rows, records = [], []

    def add(run: Run, row: Row, what: str, title: str, images: int | None, rate: float | None) -> None:
        seconds = row.times.get("seconds") if images is not None else None
        seconds = float(seconds) if isinstance(seconds, int | float) else None
        numbers = NOT_KNOWN if images is None else f"{images:,}", text.number(seconds, 1), _rate(rate)
        rows.append([Cell(title, small_print(run, row)), *map(Cell, numbers), Cell(row.device)])
        names = ("what", "split", "recipe", "model", "seed", "images", "seconds", "images_per_s", "device")
        of_row = "" if images is None else row.split, recipe_name(row), row.model, row.seed
        records.append(dict(zip(names, (what, *of_row, images, seconds, rate, row.device), strict=True)))

    for run in runs:
        for seed in run.seeds:
            if (rate := training.get((run.name, seed))) is not None:
                first = next(row for row in run.rows if row.seed == seed)
                add(run, first, "training", "Training, median step", None, rate)
        for row in run.rows:
            protocol = protocols[row.protocol]
            title = f"{protocol.title}, {text.short_split(row.split, row.dataset)}"
            add(run, row, row.protocol, title, row.n * protocol.images, row.images_per_s)
    columns = (("What", False), ("Images", True), ("Seconds", True), ("Images/s", True), ("On", False))
    caption = "Throughput. An evaluation's seconds include reading, the network, metrics and the bootstrap."
    return Table("throughput", caption, columns, rows, records)


def _rate(images_per_s: float | None) -> str:
    return NOT_KNOWN if images_per_s is None else f"{images_per_s:,.0f}"


def _origin(writer: Writer, run: Run, seed: int, protocols: Mapping[str, Protocol]) -> Block:
    """Return the facts, versions, recipe and rows of one network."""
    members = [row for row in run.rows if row.seed == seed]
    facts = {
        "Work directory": [writer.workdir_of[row.id].name for row in members],
        "Device": [row.device or NOT_KNOWN for row in members],
        "Commit": [row.commit or "not in a checkout" for row in members],
    }
    return fragment(
        __package__,
        "provenance.html",
        facts=[(name, ", ".join(dict.fromkeys(values))) for name, values in facts.items()],
        versions=sorted(members[0].versions.items()),
        recipe=[(key, _text(value)) for key, value in flatten(members[0].recipe).items()],
        rows=[_row_facts(row, protocols[row.protocol].title) for row in members],
    )


def _row_facts(row: Row, title: str) -> dict[str, Any]:
    """Return the identity, times and checksums of one row."""
    timed = ("seconds", "train", "evaluate")
    times = {
        key.replace("_", " "): f"{value:,.1f} s" if isinstance(value, float) and key.startswith(timed) else _text(value)
        for key, value in row.times.items()
    }
    return {
        "title": f"{title}, {text.split_name(row.split, row.dataset)}",
        "facts": [("Row", row.id), ("Data", row.dataset), ("Examples", f"{row.n:,}"), *times.items()],
        "checksums": [(key, _text(value)) for key, value in flatten(row.checksums).items()],
    }


def _text(value: Any) -> str:
    """Return a value as text."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
