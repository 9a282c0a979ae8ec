"""List the scenes of a MtSCCD archive by its file names, in any of the layouts that archives come in.

Names decide: city, date, tile and class come from `xx_yyyymm_nx_ny_c`. Folders decide two things that names do not
say: the sub-set, and which of the splits `train` and `validation` an image belongs to. A folder that contradicts a name
is a warning. So all of these read the same:

1. `MtSCCD_LUSC/{train,val,testA,testB}/<class>/<name>`, the class in any of its spellings
2. the same with `training`, `validation`, `test_A`, `test/A`, `test`, or the test sets by city
3. `MtSCCD_LUSC/<split>/<name>`
4. `MtSCCD_LUCD/<split>/{T1,T2|time1,time2|A,B|before,after|1,2}/[<class>/]<name>`
5. `MtSCCD_LUCD/<split>/<name>`, both dates together
6. `MtSCCD/<city>/{T1,T2}/<class>/<name>`, unsplit
7. any of them, or a flat folder, with list files (`train.txt`, `val.csv`, `path1 path2 label` a line)
"""

import functools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfds_builders.mtsccd.names import (
    CITIES,
    CLASSES,
    IMAGE_EXTENSIONS,
    City,
    SceneName,
    class_label,
    find_city,
    is_class_zero,
    is_scene_name,
    parse_cities_toml,
    parse_name,
    with_cities,
)
from tfds_builders.reading.archive import Archive, ArchiveError, is_packed, open_archive, packed_stem
from tfds_builders.reading.files import read_file
from tfds_builders.reading.names import SPLIT_NAMES, folded
from tfds_builders.reading.text import decoded

HOMEPAGE = "https://sites.google.com/view/zhouwx/dataset"
DOWNLOAD_HINT = f"download MtSCCD by hand from {HOMEPAGE} (the paper prints .../view/zhouxw/dataset)"
SUBSETS = ("lusc", "lucd")

_CITIES_TOML = "cities.toml"
_LIST_EXTENSIONS = (".txt", ".csv", ".lst")
_SPLIT_FOLDERS = {
    **SPLIT_NAMES,
    "test_a": ("testa", "test_a", "testset_a", "test_set_a"),
    "test_b": ("testb", "test_b", "testset_b", "test_set_b"),
}
_SPLIT_OF_FOLDER = {folder: split for split, folders in _SPLIT_FOLDERS.items() for folder in folders}
_PHASE_FOLDERS = {
    1: ("1", "t1", "time1", "time_1", "phase1", "phase_1", "a", "before", "pre", "first", "im1"),
    2: ("2", "t2", "time2", "time_2", "phase2", "phase_2", "b", "after", "post", "second", "im2"),
}
_PHASE_OF_FOLDER = {folder: phase for phase, folders in _PHASE_FOLDERS.items() for folder in folders}
_LAST_LABEL = len(CLASSES) - 1
_TEST_LETTERS = {"a": "test_a", "b": "test_b"}


@dataclass(frozen=True, slots=True)
class Scene:
    """One image of the archive; `split` is `train` or `validation` by folders or lists, else None."""

    path: str
    name: SceneName
    phase: int
    split: str | None

    @property
    def filename(self) -> str:
        """The file's name without folders."""
        return self.path.rpartition("/")[2]

    @property
    def tile(self) -> tuple[str, int, int]:
        """The place, the same at both dates: (city, x, y)."""
        return self.name.city, self.name.tile_x, self.name.tile_y


@dataclass
class Listing:
    """The scenes of one sub-set, everything that is wrong with them, and the names of all its image files.

    `errors` stop any build; `bad` files can be skipped, and so can `unpaired` tiles (which LUSC does not mind);
    `warnings` and `absent` (cities and classes without an image) stop nothing.
    """

    cities: tuple[City, ...]
    scenes: list[Scene] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    unpaired: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


@functools.lru_cache(maxsize=4096)
def subset_of(folders: str, root_name: str = "") -> str | None:
    """Return "lusc" or "lucd" by the innermost of the `folders`, or the archive's own name, that has it in its name."""
    for part in reversed([root_name, *folders.split("/")]):
        for subset in SUBSETS:
            if subset in part.lower():
                return subset
    return None


def is_image(path: str) -> bool:
    """Return whether the file's extension is that of an image."""
    return path.lower().endswith(IMAGE_EXTENSIONS)


def open_mtsccd(path: Path | str, *, shared_folder: bool = False) -> Archive:
    """Return the archive at `path`; in a `shared_folder` only entries called MtSCCD... belong to it, if any."""
    path = Path(path).expanduser()
    if not path.exists():
        raise ArchiveError(f"{path}: no such archive; {DOWNLOAD_HINT} and give the folder, zip or tar file")
    if shared_folder and any(_is_mtsccd(entry.name) for entry in path.iterdir()):
        archive = open_archive(path, top_level=lambda entry: _is_mtsccd(entry) or entry == _CITIES_TOML, keep=_is_read)
    else:
        archive = open_archive(path, keep=_is_read)
    if not any(is_image(name) for name in archive.names):
        archive.refuse_packed()
        raise ArchiveError(f"{path}: holds no image; {DOWNLOAD_HINT} and give the folder, zip or tar file")
    return archive


def _is_mtsccd(entry: str) -> bool:
    return entry.lower().startswith("mtsccd")


def _is_read(name: str) -> bool:
    """Return whether the content of a file is read, while the archive is listed: lists, and cities.toml."""
    return _is_list(name) or name.rpartition("/")[2] == _CITIES_TOML


def _is_list(name: str) -> bool:
    """Return whether a file may list images; a text that is called like an image speaks of that image alone."""
    return name.lower().endswith(_LIST_EXTENSIONS) and not is_scene_name(name.rpartition("/")[2])


def with_archive_cities(cities: tuple[City, ...], archive: Archive) -> tuple[City, ...]:
    """Return `cities` and those of the one `cities.toml` beside the archive or at its top, if there is one."""
    texts = {}
    beside = archive.path.parent / _CITIES_TOML
    if beside.is_file():
        texts[str(beside)] = decoded(read_file(beside), beside)
    for name in archive.names:
        if name.rpartition("/")[2] == _CITIES_TOML and name.count("/") <= 1:
            texts[str(archive.path / name)] = decoded(archive.read(name), archive.path / name)
    if len(texts) > 1:
        raise ArchiveError(f"{' and '.join(texts)}: more than one cities.toml; keep one")
    for where, text in texts.items():
        try:
            return with_cities(cities, parse_cities_toml(text, where))
        except ArchiveError:
            raise
        except ValueError as error:
            raise ArchiveError(f"{where}: {error}") from error
    return cities


def list_archive(archive: Archive, subset: str, cities: tuple[City, ...] = CITIES) -> Listing:
    """Return the scenes of `subset` in `archive`; see `list_scenes`."""
    root_name = archive.path.name if archive.path.is_dir() else packed_stem(archive.path)
    try:
        return list_scenes(archive.names, archive.read, subset=subset, cities=cities, root_name=root_name)
    except ArchiveError as error:
        raise ArchiveError(f"{archive.path}: {error}") from error


def list_scenes(
    names: Sequence[str],
    read: Callable[[str], bytes],
    *,
    subset: str,
    cities: tuple[City, ...] = CITIES,
    root_name: str = "",
) -> Listing:
    """Return the scenes of `subset` ("lusc" or "lucd") among the files `names`, whatever order these come in.

    `read` is called for list files. An archive with a folder for the sub-set is read from there; any other archive
    holds both sub-sets in the same files, and then only splits that are not the other sub-set's own are taken.
    """
    images = sorted(name for name in names if is_image(name))
    own = [name for name in images if subset_of(_folders(name), root_name) == subset]
    listing = Listing(cities, images=own or images)
    listing.warnings += [
        f"{name}: packed, and passed over; unpack it where it lies" for name in names if is_packed(name)
    ]
    lists = _list_files(names, read, subset, bool(own), root_name)
    parsed: list[tuple[str, SceneName, str | None]] = []
    zeros: list[str] = []
    for path in listing.images:
        folders, _, filename = path.rpartition("/")
        try:
            name = parse_name(filename, cities)
        except ArchiveError as error:
            (zeros if is_class_zero(filename) else listing.bad).append(f"{folders}/{error}" if folders else str(error))
            continue
        foreign = subset_of(folders, root_name) not in (None, subset)
        split = None if foreign else _folder_split(folders)
        parsed.append((path, name, None if foreign else lists.get(filename, split)))
    _note_zeros(listing, zeros, {name.label for _, name, _ in parsed})
    if not parsed:
        first = [*listing.errors, *listing.bad, "none"][0]
        raise ArchiveError(f"no image with a readable name; the first: {first}")
    phases = _phases(parsed, listing)
    for path, name, split in parsed:
        phase = phases.get((name.city, name.date))
        if phase is None:
            dates = " and ".join(date for city, date in phases if city == name.city)
            listing.bad.append(f"{path}: date {name.date}, but the dates of {name.city} are {dates}")
        else:
            listing.scenes.append(Scene(path, name, phase, split))
    _cross_check(listing)
    _drop_duplicates(listing)
    _find_unpaired(listing)
    _find_absent(listing)
    return listing


def pairs_of(scenes: Iterable[Scene]) -> list[tuple[Scene, Scene]]:
    """Return the (first date, second date) scenes of every tile that has both."""
    tiles: dict[tuple[str, int, int], dict[int, Scene]] = defaultdict(dict)
    for scene in scenes:
        tiles[scene.tile][scene.phase] = scene
    return [(tiles[tile][1], tiles[tile][2]) for tile in sorted(tiles) if len(tiles[tile]) == 2]


def _folders(path: str) -> str:
    return path.rpartition("/")[0]


@functools.lru_cache(maxsize=4096)
def _folder_split(folders: str) -> str | None:
    """Return "train" or "validation" by the innermost folder of a split; the test splits follow from the city."""
    for folder in reversed(folders.split("/")):
        split = _SPLIT_OF_FOLDER.get(folded(folder))
        if split is not None:
            return split if split in ("train", "validation") else None
    return None


def _list_files(
    names: Sequence[str], read: Callable[[str], bytes], subset: str, has_own_folder: bool, root_name: str
) -> dict[str, str]:
    """Return the split ("train" or "validation") of every file name that a list file of this sub-set names.

    The list's own name, a folder above it or a word on the line names the split.
    """
    splits: dict[str, str] = {}
    for path in sorted(names):
        of_list = subset_of(path.rpartition(".")[0], root_name)
        if not _is_list(path) or of_list not in ((subset,) if has_own_folder else (None, subset)):
            continue
        split_of_file = _word_split(path.rpartition(".")[0])
        for line in decoded(read(path), path, lenient=True).splitlines():
            words = [word for cell in re.split(r"[,;\t]", line) for word in _words(cell)]
            images = [word.replace("\\", "/").rpartition("/")[2] for word in words if is_image(word)]
            split = next((s for word in words if (s := _SPLIT_OF_FOLDER.get(folded(word)))), split_of_file)
            if split in ("train", "validation"):
                splits.update(dict.fromkeys(images, split))
    return splits


def _words(cell: str) -> list[str]:
    """Return the words of a cell; a path with one image extension may hold spaces."""
    cell = cell.strip().strip("\"'")
    extensions = len(re.findall(r"\.(?:jpe?g|jpe|jfif|png|tiff?|bmp)\b", cell, re.IGNORECASE))
    return [cell] if extensions == 1 and is_image(cell) else cell.split()


def _word_split(path: str) -> str | None:
    """Return the split that the innermost speaking part of a list file's path names, as in `lists/train_pairs`."""
    for part in reversed(path.split("/")):
        for split in (_SPLIT_OF_FOLDER.get(word) for word in [folded(part), *folded(part).split("_")]):
            if split is not None:
                return split
    return None


def _note_zeros(listing: Listing, zeros: list[str], labels: set[int]) -> None:
    """Note names of the class 0: each is bad, but where no image has the class 10 all numbers are one too small."""
    if zeros and _LAST_LABEL not in labels:
        listing.errors.append(
            f"{zeros[0].partition(': ')[0]}: class 0, and no image has class {_LAST_LABEL + 1}: the names count the "
            f"classes from 0 and the paper from 1; add 1 to the class in every name ({len(zeros)} have class 0)"
        )
    else:
        listing.bad += zeros


def _phases(parsed: Sequence[tuple[str, SceneName, str | None]], listing: Listing) -> dict[tuple[str, str], int]:
    """Return the phase (1 or 2) of every (city, date): the earlier and the later date of the city.

    Files of a third date are bad; which two dates are right must be known then.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for _, name, _ in parsed:
        found[name.city].add(name.date)
    phases = {}
    for city in listing.cities:
        dates = sorted(found.get(city.name, ()))
        if not dates:
            continue
        if len(dates) == 1:
            listing.errors.append(f"{city.name}: only date {dates[0]} is there; add the images of the other date")
            dates = list(city.dates) if dates[0] in city.dates else dates
        if len(dates) > 2:
            if not city.dates or not set(city.dates) <= set(dates):
                listing.errors.append(
                    f"{city.name}: {len(dates)} dates ({', '.join(dates)}) instead of two; remove the others"
                )
            dates = list(city.dates or dates[:2])
        phases.update({(city.name, date): phase for phase, date in enumerate(dates, start=1)})
    return phases


def _cross_check(listing: Listing) -> None:
    """Add a warning for every scene in a folder whose meaning contradicts the scene's name."""
    roles = {city.name: city.role for city in listing.cities}
    contradiction: dict[tuple[str, str, str, int], str | None] = {}
    for scene in listing.scenes:
        facts = (_folders(scene.path), scene.name.city, scene.name.date, scene.name.label)
        if facts not in contradiction:
            contradiction[facts] = _contradicting_folder(scene, roles[scene.name.city], listing.cities)
        folder = contradiction[facts]
        if folder is not None:
            listing.warnings.append(f"{scene.path}: folder '{folder}' contradicts the name; the name is taken")


def _contradicting_folder(scene: Scene, role: str, cities: tuple[City, ...]) -> str | None:
    """Return the first folder none of whose possible meanings ("1" is a date or a class) agrees with the name."""
    above = ""
    for folder in scene.path.split("/")[:-1]:
        word = folded(folder)
        meanings: list[bool] = []
        city = find_city(folder, cities)
        label = class_label(folder)
        if city is not None:
            meanings.append(city.name == scene.name.city)
        if label is not None:
            meanings.append(label == scene.name.label)
        if word in _PHASE_OF_FOLDER:
            meanings.append(_PHASE_OF_FOLDER[word] == scene.phase)
        if word in _TEST_LETTERS and above in _SPLIT_FOLDERS["test"]:
            meanings.append(_TEST_LETTERS[word] == role)
        if word in _SPLIT_OF_FOLDER:
            meanings.append(_folder_agrees(_SPLIT_OF_FOLDER[word], role))
        if re.fullmatch(r"(19|20)\d{4}", word):
            meanings.append(word == scene.name.date)
        if meanings and not any(meanings):
            return folder
        above = word
    return None


def _folder_agrees(split: str, role: str) -> bool:
    if split in ("train", "validation"):
        return role == "train" or role not in ("test_a", "test_b")  # a configuration may make any other city a test
    return role.startswith("test") if split == "test" else role == split


def _drop_duplicates(listing: Listing) -> None:
    """Move all but the first of several files for one tile and date to `bad`, and all of them if classes differ."""
    same: dict[tuple[str, int, int, int], list[Scene]] = defaultdict(list)
    for scene in listing.scenes:
        same[(*scene.tile, scene.phase)].append(scene)
    dropped: set[str] = set()
    for scenes in same.values():
        if len(scenes) == 1:
            continue
        paths = " and ".join(scene.path for scene in scenes)
        listing.bad.append(f"{paths}: {len(scenes)} files for one tile and date; keep one")
        agree = len({scene.name.label for scene in scenes}) == 1
        dropped.update(scene.path for scene in (scenes[1:] if agree else scenes))
    listing.scenes = [scene for scene in listing.scenes if scene.path not in dropped]


def _find_unpaired(listing: Listing) -> None:
    dates: dict[tuple[str, int, int], list[Scene]] = defaultdict(list)
    for scene in listing.scenes:
        dates[scene.tile].append(scene)
    listing.unpaired = [
        f"{scenes[0].path}: the tile's other date is missing" for scenes in dates.values() if len(scenes) == 1
    ]


def _find_absent(listing: Listing) -> None:
    found = {(scene.name.city, scene.name.label) for scene in listing.scenes}
    for city in listing.cities:
        labels = {label for name, label in found if name == city.name}
        if not labels:
            listing.absent.append(f"{city.name}: no image of this city")
        elif len(labels) < 10:
            absent = ", ".join(str(label + 1) for label in range(10) if label not in labels)
            listing.absent.append(f"{city.name}: no image of class {absent}")
