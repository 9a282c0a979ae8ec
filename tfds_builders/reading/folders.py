"""Find the files below a folder, through links, without litter."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tfds_builders.reading.names import is_junk


@dataclass(frozen=True)
class Tree:
    """What lies below a folder, as paths below it with "/" between their parts, sorted.

    `files` are all but litter; `empty` are the folders without a file. `again` are the folders that a link shows once
    more, each with the place where it is read; links back to a folder around them are passed over.
    """

    files: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    again: list[tuple[str, str]] = field(default_factory=list)


def tree_of(root: str | Path, top_level: Callable[[str], bool] = lambda name: True) -> Tree:
    """Return what lies below `root`, in those of its entries that `top_level` chooses.

    Raises:
        OSError: a folder cannot be read.
    """
    tree, waiting = Tree(), [""]
    seen: dict[tuple[int, int], str] = {}
    filled: set[str] = set()
    visited = []
    while waiting:
        inside = waiting.pop()
        status = os.stat(os.path.join(root, inside))
        first = seen.setdefault((status.st_dev, status.st_ino), inside)
        if first != inside:
            if not f"{inside}/".startswith(f"{first}/" if first else ""):
                tree.again.append((inside, first))
            continue
        visited.append(inside)
        folders, files = _entries(root, inside, top_level)
        tree.files.extend(files)
        if files:
            filled.update(_around(inside))
        waiting.extend(reversed(folders))
    tree.files.sort()
    tree.empty.extend(sorted(folder for folder in visited if folder and folder not in filled))
    return tree


def _entries(root: str | Path, inside: str, top_level: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Return the folders and the files that lie directly in a folder, folders sorted."""
    before = f"{inside}/" if inside else ""
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(os.path.join(root, inside)) as entries:
        for entry in entries:
            if not is_junk(entry.name) and (inside or top_level(entry.name)):
                (folders if entry.is_dir() else files).append(before + entry.name)
    return sorted(folders), files


def _around(inside: str) -> Iterator[str]:
    """Yield a folder and those around it."""
    while inside:
        yield inside
        inside = inside.rpartition("/")[0]
