"""Checksums of the small files of a data set, which TFDS reads as they are; records have checksums of their own."""

import hashlib
import json
import os
from pathlib import Path

from tfds_builders.reading.files import read_file

CHECKSUMS_FILE = "checksums.json"
_SMALL_FILES = ("*.json", "*.txt")


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every small file of a data set beside them."""
    files = sorted(path for pattern in _SMALL_FILES for path in folder.glob(pattern))
    sums = {path.name: _sha256(path) for path in files if path.name != CHECKSUMS_FILE}
    new = folder / f".{CHECKSUMS_FILE}"
    new.write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")
    os.replace(new, folder / CHECKSUMS_FILE)


def damaged_file(folder: Path) -> str | None:
    """Return what is wrong with a small file of a data set, "FILE is ..."; None where all are as written.

    Data sets of an earlier release have no checksums, and nothing can be said of them.
    """
    path = folder / CHECKSUMS_FILE
    if not path.exists():
        return None
    try:
        sums: dict[str, str] = dict(json.loads(read_file(path)))
    except (ValueError, TypeError, RecursionError):
        return f"{path} is damaged"
    for name, written in sums.items():
        if not (folder / name).is_file():
            return f"{folder / name} is missing"
        if written != _sha256(folder / name):
            return f"{folder / name} is not what was written"
    return None


def unreadable(name: str, data_dir: Path, error: Exception) -> str:
    """Return what is wrong with a data set that TFDS cannot read: the damaged file where it is known."""
    folders = [path.parent for path in sorted((data_dir / name.partition("/")[0]).rglob("features.json"))]
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return next(filter(None, map(damaged_file, folders)), f"{name} in {data_dir} cannot be read ({reason})")


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_file(path)).hexdigest()
