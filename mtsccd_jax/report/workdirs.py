"""Work directories: where rows lie, and which rows failed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtsccd_jax.checksums import without_sha256
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import read_bytes
from mtsccd_jax.report import rows
from mtsccd_jax.report.rows import ROWS_FILE, Row
from mtsccd_jax.report.runs import run_name
from tfds_builders.reading.text import parsed_json

FAILURES_FILE = "failures.json"

# How far below a folder its work directories may lie: network, seed, and one more.
_DEPTH = 3


@dataclass(frozen=True)
class Failure:
    """A row that could not be made, and why, in one line."""

    network: str  # name of the recipe
    protocol: str
    split: str  # "" where the reason is not a split's
    seed: int
    reason: str


def work_directories(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the folder itself where it holds rows, else every work directory in it by name, if there is any."""
    return _below(Path(folder), _DEPTH)


def load_all(folders: Sequence[str | os.PathLike[str]]) -> list[tuple[Path, Row]]:
    """Return the rows of some folders, each with its work directory.

    The same recipe run again elsewhere is a repetition: the id of its row gets a number, "-2" for the second. So does
    the data set where folders of one name hold other images, " (2)" for the second.

    Raises:
        InputError: A folder has no rows, or a line of its `rows.jsonl` cannot be read.
    """
    found: list[tuple[Path, Row]] = []
    known_data: dict[tuple[str, str], list[str]] = {}
    for folder in map(Path, folders):
        loaded = [(workdir, row) for workdir in work_directories(folder) for row in rows.load(workdir)]
        if not loaded:
            raise InputError(f"{folder / ROWS_FILE}: no rows; run `mtsccd-jax evaluate {folder}` first")
        for workdir, row in loaded:
            row = replace(row, dataset=_apart(row, known_data))
            repetition = sum(known.id.partition("-")[0] == row.id for _, known in found)
            found.append((workdir, replace(row, id=f"{row.id}-{repetition + 1}") if repetition else row))
    return found


def _apart(row: Row, known_data: dict[tuple[str, str], list[str]]) -> str:
    """Return the name of the row's data, with a number where the split is of other data than those known so far."""
    known = known_data.setdefault((row.dataset, row.split), [])
    identity = rows.data_identity(row.dataset, str(row.checksums.get("data")), row.recipe)
    if identity not in known:
        known.append(identity)
    number = known.index(identity) + 1
    return row.dataset if number == 1 else f"{row.dataset} ({number})"


def failures(folder: str | os.PathLike[str]) -> list[Failure]:
    """Read the rows that the `failures.json` of a folder names; none without it, InputError where damaged."""
    path = Path(folder) / FAILURES_FILE
    if not path.exists():
        return []
    try:
        entries: Any = [without_sha256(entry) for entry in parsed_json(read_bytes(path))]
        return [
            Failure(str(e["network"]), str(e["protocol"]), str(e["split"] or ""), int(e["seed"]), str(e["reason"]))
            for e in entries
        ]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path}: not a list of objects with network, protocol, split, seed and reason ({error!r}); "
            "delete it and run `mtsccd-jax reproduce` again"
        ) from None


def still_missing(failed: Sequence[Failure], made: Sequence[Row]) -> list[Failure]:
    """Return the failures whose row is absent; a later run may have made it and been stopped before it said so."""
    there = {(run_name(row), row.seed, row.protocol, row.split) for row in made}
    return [f for f in failed if (f.network, f.seed, f.protocol, f.split) not in there]


def _below(folder: Path, depth: int) -> list[Path]:
    """Return the work directories in a folder, down to a depth, without looking into a work directory."""
    if (folder / ROWS_FILE).exists():
        return [folder]
    if depth == 0 or not folder.is_dir():
        return []
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [found for path in inside for found in _below(path, depth - 1)]
