"""Find the splits, classes and images of a tree of class folders, or say why they cannot be told."""

import functools
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mtsccd_jax.data.decode import IMAGE_SUFFIXES
from mtsccd_jax.data.file_source import listed
from mtsccd_jax.errors import InputError
from tfds_builders.reading.folders import Tree, tree_of
from tfds_builders.reading.names import as_text, split_of_name

# Splits of a class-folder tree, and the share of paths hashed into each where it has no folders of such names.
FOLDER_SPLITS = {"train": 0.6, "validation": 0.2, "test": 0.2}

# The split that holds everything; the only one of a pair list without a split column.
ALL = "all"

# Logged once, however often a tree is opened.
_warn = functools.cache(logging.getLogger(__name__).warning)


@dataclass(frozen=True)
class ClassTree:
    """The images of a tree: (path below the root, label) of each, by split, or all under `ALL` without split folders.

    Rows are in order of class and path.
    """

    class_names: tuple[str, ...]
    rows: Mapping[str, list[tuple[str, int]]]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the tree has folders of, in the order of `FOLDER_SPLITS`."""
        return tuple(split for split in self.rows if split != ALL)


def read_class_tree(root: Path) -> ClassTree:
    """Return the tree below `root`, and log what is in it but no part of it.

    Raises:
        InputError: There is no class folder, a link shows a folder twice, folders may be splits or classes, or two
            of them name one split or differ in case only.
    """
    tree = tree_of(root)
    for place, first in tree.again:
        raise InputError(f"{root}: {as_text(place)} and {as_text(first)} are one folder, by a link; remove one of them")
    base = _base(tree)
    files, empty = _inside(tree.files, base), _inside(tree.empty, base)
    split_of = _split_folders(root, files)
    found, loose = [], []
    for path in files:
        *folders, _ = path.split("/")
        split = split_of.get(folders.pop(0)) if split_of and folders else ALL
        if folders and split:
            found.append((split, as_text(folders[0]), base + path))
        elif _is_image(path):
            loose.append(path)
    class_names = tuple(sorted({name for _, name, _ in found}))
    _refuse_same(root, class_names)
    if not found and not empty:
        raise InputError(f"{root} has no class folders; put the images of each class in a folder of its name")
    depth = 2 if split_of else 1
    empty = [as_text(path) for path in empty if path.count("/") < depth]
    _log_the_rest(root, base, [path for path in empty if path.rpartition("/")[2] not in class_names], loose)
    label_of = {name: label for label, name in enumerate(class_names)}
    rows: dict[str, list[tuple[str, int]]] = {split: [] for split in FOLDER_SPLITS if split in split_of.values()}
    rows = rows or {ALL: []}
    for split, name, path in sorted(found, key=lambda image: (image[1], image[2])):
        rows[split].append((path, label_of[name]))
    return ClassTree(class_names, rows)


def _base(tree: Tree) -> str:
    """Return the folder, as "" or "folder/", that holds the class or split folders: inside lone folders."""
    base, files, empty = "", tree.files, tree.empty
    while True:
        folders = {path.partition("/")[0] for path in (*empty, *(path for path in files if "/" in path))}
        if len(folders) != 1:
            return base
        (folder,) = folders
        files, empty = (_inside(paths, f"{folder}/") for paths in (files, empty))
        has_folders = any("/" in path for path in files)
        if split_of_name(as_text(folder)) or not has_folders or any("/" not in p and _is_image(p) for p in files):
            return base
        base += f"{folder}/"


def _split_folders(root: Path, files: Iterable[str]) -> dict[str, str]:
    """Return the split of every folder that is called like one; nothing where all folders are classes."""
    has_image: dict[str, bool] = {}
    for path in files:
        folder, slash, _ = path.partition("/")
        if slash:
            has_image[folder] = has_image.get(folder, False) or _is_image(path)
    split_of = {folder: split for folder in has_image if (split := split_of_name(as_text(folder)))}
    others = sorted(as_text(folder) for folder in has_image.keys() - split_of.keys() if has_image[folder])
    if split_of and others:
        raise InputError(
            f"{root} has the folders {listed(map(as_text, split_of))} beside {listed(others[:4])}: are they splits or "
            "classes? Rename those that are classes, or move the classes into the splits"
        )
    for split, count in Counter(split_of.values()).items():
        if count > 1:
            both = [as_text(folder) for folder in split_of if split_of[folder] == split]
            raise InputError(f"{root}: {listed(both)} are folders of one split, {split}; keep one")
    return split_of


def _refuse_same(root: Path, class_names: Iterable[str]) -> None:
    same: dict[str, str] = {}
    for name in class_names:
        other = same.setdefault(name.casefold(), name)
        if other != name:
            raise InputError(f"{root}: the classes {other} and {name} differ in case only; give them one name")


def _log_the_rest(root: Path, base: str, empty: list[str], loose: list[str]) -> None:
    if base:
        _warn(f"{root}: the class folders are those in {as_text(base)}")
    if empty:
        _warn(f"{root}: no file in {', '.join(empty[:4])}{', ...' if empty[4:] else ''}; an empty folder is no class")
    if loose:
        _warn(f"{root}: {len(loose)} images lie in no class folder and are left out, the first: {as_text(loose[0])}")


def _inside(paths: Iterable[str], folder: str) -> list[str]:
    """Return the paths in `folder` ("" or ending in "/"), from there on."""
    return [path.removeprefix(folder) for path in paths if path.startswith(folder)]


def _is_image(path: str) -> bool:
    return path.lower().endswith(tuple(IMAGE_SUFFIXES))
