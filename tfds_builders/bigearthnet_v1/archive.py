"""List the patches of a BigEarthNet v1 archive, by names alone, and read the official lists beside them.

    BigEarthNet-v1.0/<S2 patch>/<S2 patch>_B02.tif ... <S2 patch>_labels_metadata.json
    BigEarthNet-S1-v1.0/<S1 patch>/<S1 patch>_VV.tif, _VH.tif, _labels_metadata.json
    train.csv, val.csv, test.csv, patches_with_seasonal_snow.csv, ... (or .csv.bz2), in any folder that is no patch

Folders may have other names and lie deeper: a patch is known by its own. Only the names of patches are held, not
those of their files, so that the listing of the whole archive takes some 200 MB.
"""

import bz2
import contextlib
import gzip
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfds_builders.bigearthnet.names import S1_NAME, S2_V1_NAME, SPLITS
from tfds_builders.bigearthnet_v1.tables import CLOUD, NO_TARGET, SNOW
from tfds_builders.reading.archive import GENERATED_MARK, ArchiveError, extract, packed_stem
from tfds_builders.reading.files import opened
from tfds_builders.reading.limits import KEPT_BYTES
from tfds_builders.reading.names import is_junk
from tfds_builders.reading.text import text_rows

DOWNLOAD_HINT = (
    "download BigEarthNet-S2-v1.0.tar.gz (and BigEarthNet-S1-v1.0.tar.gz) from https://zenodo.org/records/12687186 and "
    "unpack them into one folder, with the official lists (train.csv, val.csv, test.csv, ...) beside them"
)
FLAGS: tuple[str, ...] = (SNOW, CLOUD, NO_TARGET)
# Kinds of list, and the names that they go by before their suffix.
LIST_NAMES: dict[str, tuple[str, ...]] = {
    "train": ("train", "bigearthnet-train"),
    "validation": ("val", "validation", "bigearthnet-val"),
    "test": ("test", "bigearthnet-test"),
    SNOW: ("patches_with_seasonal_snow",),
    CLOUD: ("patches_with_cloud_and_shadow",),
    NO_TARGET: ("patches_with_no_19_class_targets", "patches_with_no_19_class_target"),
}
_KIND_OF_LIST = {name: kind for kind, names in LIST_NAMES.items() for name in names}
_OPEN_LIST = {".csv": contextlib.nullcontext, ".csv.bz2": bz2.open, ".csv.gz": gzip.open}
# The start of a cell that is no header.
_A_PATCH = re.compile(r"S[12][A-Z]?_")
_DEEPEST = 4  # folders above a patch
# The folder in which the content of a packed file lies, where it is not called like the file.
_UNPACKED = {"BigEarthNet-S2-v1.0": "BigEarthNet-v1.0"}


@dataclass
class Lists:
    """The official lists of Sentinel-2 patches.

    `split_of` holds the train, validation and test lists; `s1_of` their second column, the Sentinel-1 patch, where they
    have one; `flagged` the patches of each other list; `files` the file of each list.
    """

    split_of: dict[str, str] = field(default_factory=dict)
    s1_of: dict[str, str] = field(default_factory=dict)
    flagged: dict[str, frozenset[str]] = field(default_factory=lambda: dict.fromkeys(FLAGS, frozenset()))
    files: dict[str, Path] = field(default_factory=dict)

    def missing(self, *kinds: str) -> list[str]:
        """Return the file names of those of `kinds` that the archive does not have."""
        return [f"{LIST_NAMES[kind][0]}.csv" for kind in kinds if kind not in self.files]


@dataclass
class Listing:
    """The patches of an archive: name -> the folder that holds the patch's own folder.

    `problems` are folders that look like patches and are none. `scratch` is where packed files were unpacked to.
    """

    path: Path
    s2: dict[str, str]
    s1: dict[str, str]
    lists: Lists
    problems: list[str]
    generated: bool
    scratch: str


def list_archive(path: Path | str, scratch: Path) -> Listing:
    """Return the patches and lists of the archive at `path`: a folder, or a zip or tar file.

    Packed files at the top of the folder are unpacked below `scratch`, unless their content lies beside them. Unpack
    the whole archive first: some 97 GB for Sentinel-2 and 69 GB for Sentinel-1.
    """
    path = _existing(path)
    roots = [path] if path.is_dir() else []
    for number, packed in enumerate(_packed_files(path)):
        roots.append(scratch / str(number))
        extract(packed, roots[-1])
    listing = Listing(path, {}, {}, Lists(), [], False, str(scratch))
    list_files: dict[str, Path] = {}
    for root in roots:
        _walk(root, listing, list_files, set(), 0)
    if not listing.s2 and not listing.s1:
        raise ArchiveError(f"{path}: holds no patch of BigEarthNet v1; {DOWNLOAD_HINT}")
    listing.lists = _read_lists({kind: list_files[kind] for kind in LIST_NAMES if kind in list_files})
    return listing


def archive_names(path: Path | str) -> Iterator[str]:
    """Yield a fingerprint of the archive: its patches and lists, and name and size of packed files."""
    path = _existing(path)
    for packed in _packed_files(path):
        yield f"{packed.name} {packed.stat().st_size}"
    if path.is_dir():
        listing = Listing(path, {}, {}, Lists(), [], False, "")
        list_files: dict[str, Path] = {}
        _walk(path, listing, list_files, set(), 0)
        yield from sorted([*listing.s2, *listing.s1])
        for kind, file in sorted(list_files.items()):
            yield f"{kind} {file.stat().st_size}"


def _existing(path: Path | str) -> Path:
    path = Path(path).expanduser()
    if not path.exists():
        raise ArchiveError(f"{path}: no such archive; {DOWNLOAD_HINT} and give the folder")
    return path.resolve()


def _packed_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    packed = []
    for entry in sorted(path.iterdir()):
        stem = packed_stem(entry)
        unpacked = any((path / folder).is_dir() for folder in (stem, _UNPACKED.get(stem, stem)))
        if entry.is_file() and stem != entry.name and not is_junk(entry.name) and not unpacked:
            packed.append(entry)
    return packed


def _walk(folder: Path, listing: Listing, lists: dict[str, Path], seen: set[tuple[int, int]], depth: int) -> None:
    """Add the patches and lists of `folder` and its sub-folders to the listing; each folder once, links included."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    inside = []
    with os.scandir(folder) as entries:
        for entry in entries:
            patches = listing.s2 if S2_V1_NAME.fits(entry.name) else listing.s1 if S1_NAME.fits(entry.name) else None
            if is_junk(entry.name):
                continue
            if patches is not None and entry.is_dir():
                if entry.name in patches:
                    both = f"{patches[entry.name]} and {folder}"
                    raise ArchiveError(f"{listing.path}: patch {entry.name} is there twice, in {both}")
                patches[entry.name] = str(folder)
            elif entry.is_dir():
                inside.append(Path(entry.path))
            elif entry.name == GENERATED_MARK:
                listing.generated = True
            else:
                _note_list(Path(entry.path), lists)
                if entry.name.endswith("_labels_metadata.json"):
                    listing.problems.append(f"{folder}: not the name of a patch; its files are passed over")
    if depth < _DEEPEST:
        for sub_folder in sorted(inside):
            _walk(sub_folder, listing, lists, seen, depth + 1)


def _note_list(path: Path, lists: dict[str, Path]) -> None:
    stem, dot, suffix = path.name.lower().partition(".")
    kind = _KIND_OF_LIST.get(stem)
    if kind is None or dot + suffix not in _OPEN_LIST:
        return
    if kind in lists:
        raise ArchiveError(f"{lists[kind]} and {path}: two lists of the same kind; keep one")
    lists[kind] = path


def _read_lists(files: dict[str, Path]) -> Lists:
    lists = Lists(files=files)
    for kind in SPLITS:
        for name, s1_name in _lines(files[kind]) if kind in files else ():
            split = lists.split_of.setdefault(name, kind)
            if split != kind:
                raise ArchiveError(f"{files[kind]}: patch {name} is also in {files[split]}; a patch has one split")
            if s1_name:
                lists.s1_of[name] = s1_name
    for kind in FLAGS:
        if kind in files:
            lists.flagged[kind] = frozenset(name for name, _ in _lines(files[kind]))
    return lists


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (Sentinel-2 patch, Sentinel-1 patch or "") of every line of a list.

    The first line may be a header, and the first column may hold row numbers.
    """
    unpacked: Any = _OPEN_LIST[path.name.lower()[path.name.index(".") :]]
    try:
        with opened(path) as packed, unpacked(packed) as file:
            content = file.read(KEPT_BYTES + 1)
        if len(content) > KEPT_BYTES:
            raise ArchiveError(
                f"{path}: more than {KEPT_BYTES:,} bytes, which no list of patches has; download it again"
            )
        rows = list(text_rows(content, path))
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveError(f"{path}: broken or incomplete ({error}); download it again") from error
    headed = len(rows) > 1 and not any(_A_PATCH.match(cell) for cell in rows[0][1])
    for number, cells in rows[headed:]:
        names = cells[1:] if cells[0].isdecimal() and len(cells) > 1 else cells
        name, *others = [cell for at, cell in enumerate(names) if cell or at == 0]
        if not S2_V1_NAME.fits(name) or len(others) > 1 or not all(map(S1_NAME.fits, others)):
            raise ArchiveError(
                f"{path}, line {number}: '{','.join(cells)[:80]}' is neither a Sentinel-2 patch nor a Sentinel-2 and a "
                "Sentinel-1 patch with a comma between; is it another version's list?"
            )
        yield name, "".join(others)
