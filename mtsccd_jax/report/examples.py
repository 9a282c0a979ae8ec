"""Example pairs with the verdict of every method (the paper's Table 8)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.report import published, sheets, words
from mtsccd_jax.report.folder import Folder, write_bytes
from mtsccd_jax.report.rows import CHANGE, Row
from mtsccd_jax.report.sheets import Grid, Opinion
from mtsccd_jax.report.words import Run

_EXAMPLES = ("row", "thumb_t1", "thumb_t2", "changed", "label_t1", "label_t2", "class_names")
_PREDICTIONS = ("changed", "predicted", "distance")


@dataclass(frozen=True)
class Shown:
    """The grid of one split, and why some rows are not in it."""

    title: str
    grid: Grid | None
    missing: tuple[str, ...]


def verdict_grids(folder: Folder, runs: Sequence[Run]) -> list[Shown]:
    """A grid for every split: the pairs of its first row with examples, and what each row says of them.

    Of repetitions the lowest seed is shown. A row takes part if it judged the same pairs.
    """
    by_split: dict[tuple[str, str], list[tuple[Run, Row]]] = {}
    for run in runs:
        for repeats in run.repeats:
            if (row := repeats[0]).protocol in CHANGE:
                by_split.setdefault((row.dataset, row.split), []).append((run, row))
    order = list(published.METHOD_NAMES)
    return [_grid(folder, sorted(m, key=lambda pair: order.index(pair[1].protocol))) for m in by_split.values()]


def _grid(folder: Folder, members: Sequence[tuple[Run, Row]]) -> Shown:
    """The grid of the rows of one split."""
    first = members[0][1]
    title = words.place(first)
    missing: list[str] = []
    anchor = None
    for _, row in members:
        found = folder.artefact(row, "examples", _EXAMPLES)
        if isinstance(found, str):
            missing.append(f"{words.method_name(row.protocol)}, {words.network(row)}: {found}")
        elif anchor is None:
            anchor = row, found
    if anchor is None:
        return Shown(title, None, tuple(missing))
    row, examples = anchor
    pairs, places = sheets.example_pairs(examples), examples["row"].astype(np.int64)
    same = _pairs_of(folder, row)
    opinions: list[Opinion] = []
    for run, member in members:
        arrays = folder.artefact(member, "predictions", _PREDICTIONS)
        if isinstance(arrays, str):
            missing.append(f"{words.method_name(member.protocol)}, {words.network(member)}: {arrays}")
        elif _pairs_of(folder, member) != same or places.max(initial=-1) >= len(arrays["changed"]):
            missing.append(f"{words.method_name(member.protocol)}, {words.network(member)}: it judged other pairs.")
        else:
            name = _name(run, member, members)
            opinions.append(sheets.opinion(name, pairs, arrays["predicted"][places], arrays["distance"][places]))
    grid = Grid(title, pairs, tuple(opinions))
    write_bytes(folder.out_dir / "figures" / f"verdicts_{row.split}_{row.id}.png", sheets.verdict_sheet(grid))
    return Shown(title, grid, tuple(missing))


def _pairs_of(folder: Folder, row: Row) -> tuple[object, ...]:
    """What tells whether two rows judged the same pairs: their file names, or the truth where there are none."""
    arrays = folder.artefact(row, "predictions", ("changed",))
    if isinstance(arrays, str):
        return (row.id,)
    keys = ("filename_t1", "filename_t2") if "filename_t1" in arrays else ("changed",)
    return tuple(np.asarray(arrays[key]).tobytes() for key in keys)


def _name(run: Run, row: Row, members: Sequence[tuple[Run, Row]]) -> str:
    """Method and network, and the recipe and objective where these are not enough."""
    network = words.network(row)
    name = f"{words.method_name(row.protocol)} {network}"
    alike = [other for _, other in members if (other.protocol, words.network(other)) == (row.protocol, network)]
    if len(alike) > 1:
        name += f", {run.name}"
    if len({other.objective for other in alike}) > 1 and row.objective:
        name += f", best {row.objective}"
    return name
