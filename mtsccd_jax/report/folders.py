"""Where rows lie: a work directory, or a folder of them."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtsccd_jax.errors import InputError
from mtsccd_jax.report.rows import ROWS_FILE

FAILURES_FILE = "failures.json"

# How far below a folder its work directories may lie: network, seed, and one more.
_DEPTH = 3


@dataclass(frozen=True)
class Failure:
    """A row that could not be made.

    Attributes:
        network: Name of the recipe, which says of which network the row is.
        protocol: The row's protocol.
        split: The row's split, or "" where the reason is not a split's.
        seed: The row's seed.
        reason: Why, in one line.
    """

    network: str
    protocol: str
    split: str
    seed: int
    reason: str


def work_directories(folder: str | os.PathLike[str]) -> list[Path]:
    """The folder itself where it holds rows, else every work directory in it, by name; empty where there is none."""
    return _below(Path(folder), _DEPTH)


def failures(folder: str | os.PathLike[str]) -> list[Failure]:
    """The rows that the `failures.json` of a folder names; empty where there is no such file.

    Raises:
        InputError: The file is not a list of objects with network, protocol, split, seed and reason.
    """
    path = Path(folder) / FAILURES_FILE
    if not path.exists():
        return []
    try:
        entries: Any = json.loads(path.read_text(encoding="utf-8"))
        return [
            Failure(
                str(entry["network"]),
                str(entry["protocol"]),
                str(entry["split"] or ""),
                int(entry["seed"]),
                str(entry["reason"]),
            )
            for entry in entries
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: not a list of objects with network, protocol, split, seed and reason ({error!r}); "
            "delete it and run `mtsccd-jax reproduce` again"
        ) from None


def _below(folder: Path, depth: int) -> list[Path]:
    """The work directories in a folder, down to a depth; nothing below one is looked at."""
    if (folder / ROWS_FILE).exists():
        return [folder]
    if depth == 0 or not folder.is_dir():
        return []
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [found for path in inside for found in _below(path, depth - 1)]
