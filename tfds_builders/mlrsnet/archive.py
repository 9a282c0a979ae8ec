"""Find the images and label files of a MLRSNet archive.

    Images/<category>/<category>_<number>.jpg      the authors pack each category in Images/<category>.rar
    labels/<category>.csv                          or Labels/, the official labels
    labels_corrected/<category>.csv                or any other folder, zip or tar file whose name says so

Numbers have gaps, so files are looked for, never counted up. All of it may lie in one folder deeper, and in zip or tar
files. A label set is any folder with `<category>.csv` in it. It is the corrected one if a folder on the way to it, or
the packed file around it, says "corrected", "fixed" or "jiecheney", or begins like that repository's name
(`MLRSNet_Dataset`); otherwise it is the official one.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tfds_builders.mlrsnet.labels import LabelSet, read_label_set
from tfds_builders.mlrsnet.names import CATEGORIES, LABEL_SETS
from tfds_builders.mlrsnet.tables import LABEL_COUNTS
from tfds_builders.reading.archive import Archive, ArchiveError, open_archive

HOMEPAGE = "https://data.mendeley.com/datasets/7j9bv9vwsx"
CORRECTED_HOMEPAGE = "https://github.com/jiecheney/MLRSNet_Dataset"
DOWNLOAD_HINT = f"download MLRSNet by hand from {HOMEPAGE} and unpack its Images/*.rar files where they lie"

_IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp")
_CORRECTED_WORDS = ("corrected", "fixed", "jiecheney")
_CORRECTED_START = "mlrsnet_dataset"
_CSV_NAMES = frozenset(f"{category}.csv" for category in CATEGORIES)


@dataclass
class Listing:
    """The rows of one label set beside the images.

    `image_of_row` is the image of every row of `labels`, as a name in the archive, or None. `bad` has what cannot be
    used, one line each: rows that cannot be read, rows without image, and images without row.
    """

    labels: LabelSet
    image_of_row: list[str | None]
    images: int
    bad: list[str] = field(default_factory=list)


def open_mlrsnet(path: Path | str, *, shared_folder: bool = False) -> Archive:
    """Return the archive at `path`; in a `shared_folder` only entries called MLRSNet... belong to it, if any."""
    path = Path(path).expanduser()
    if not path.exists():
        raise ArchiveError(f"{path}: no such archive; {DOWNLOAD_HINT} and give the folder, zip or tar file")
    named = shared_folder and any(_is_mlrsnet(entry.name) for entry in path.iterdir())
    archive = open_archive(path, top_level=_is_mlrsnet if named else lambda entry: True, keep=_is_label_file)
    if not any(map(_is_label_file, archive.names)):
        archive.refuse_packed()
        raise ArchiveError(f"{path}: holds no label file (labels/airplane.csv, ...); {DOWNLOAD_HINT}")
    return archive


def label_files(archive: Archive) -> dict[str, dict[str, str]]:
    """Return the label files of every label set that is there: {"official": {category: name in the archive}}."""
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    for name in archive.names:
        folder, _, filename = name.rpartition("/")
        if filename in _CSV_NAMES:
            folders[folder][filename.removesuffix(".csv")] = name
    claims: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        claims["corrected" if _is_corrected(folder) else "official"].append(folder)
    for label_set, claimed in claims.items():
        if len(claimed) > 1:
            both = " and ".join(f"'{folder}'" for folder in claimed[:2])
            raise ArchiveError(f"{archive.path}: {both} both hold {label_set} labels; keep one")
    return {label_set: folders[claimed[0]] for label_set, claimed in claims.items()}


def read_labels(archive: Archive, label_set: str) -> LabelSet:
    """Return the official or the corrected labels; raise ArchiveError where the other ones lie in their place."""
    files = label_files(archive)
    if label_set not in files:
        hint = DOWNLOAD_HINT
        if label_set == "corrected":
            hint = f"put those of {CORRECTED_HOMEPAGE} (the folder or its zip) into the archive as labels_corrected"
        raise ArchiveError(f"{archive.path}: holds no {label_set} labels; {hint}")
    labels = read_label_set(archive, label_set, files[label_set])
    column = 1 - LABEL_SETS.index(label_set)  # of the other label set
    if labels.labels_nk.sum(axis=0, dtype=int).tolist() == [counts[column] for counts in LABEL_COUNTS.values()]:
        folder = next(iter(files[label_set].values())).rpartition("/")[0] or "."
        wanted = ("labels", "labels_corrected")[column]
        raise ArchiveError(f"{archive.path}: '{folder}' holds the {LABEL_SETS[column]} labels; rename it to {wanted}")
    return labels


def list_images(archive: Archive, labels: LabelSet) -> Listing:
    """Return which image each row of `labels` belongs to. Only names are read."""
    images: dict[str, dict[str, str]] = {category: {} for category in CATEGORIES}
    bad = list(labels.bad)
    for name in archive.names:
        folder, _, filename = name.rpartition("/")
        category = folder.rpartition("/")[2]
        if category not in CATEGORIES or not filename.lower().endswith(_IMAGE_EXTENSIONS):
            continue
        if filename in images[category]:
            bad.append(f"{name}: {images[category][filename]} has the same name")
        else:
            images[category][filename] = name
    found = {category: len(files) for category, files in images.items()}
    image_of_row = []
    missing: dict[str, list[str]] = defaultdict(list)
    for category, filename in zip(labels.category_of_row, labels.filenames, strict=True):
        image = images[category].pop(filename, None)
        if image is None:
            missing[category].append(filename)
        image_of_row.append(image)
    for category in CATEGORIES:
        bad += _missing_lines(archive, category, missing[category], found[category])
        bad += _unlabelled_lines(labels, category, images[category])
    return Listing(labels, image_of_row, sum(found.values()), bad)


def _missing_lines(archive: Archive, category: str, filenames: list[str], found: int) -> list[str]:
    if filenames and not found:
        packed = next((name for name in archive.names if name.endswith(f"{category}.rar")), None)
        hint = f"unpack {packed} where it lies" if packed else "unpack the category's .rar file there"
        return [f"Images/{category}: no image, for {len(filenames)} rows of its label file; {hint}"]
    return [f"Images/{category}/{filename}: no such image, but it has labels" for filename in filenames]


def _unlabelled_lines(labels: LabelSet, category: str, left: dict[str, str]) -> list[str]:
    """Return a line for every image without a row; rows that could not be read are reported elsewhere."""
    unlabelled = [name for filename, name in left.items() if filename not in labels.bad_filenames]
    if unlabelled and category not in labels.files:
        return [f"Images/{category}: {len(unlabelled)} images, but there is no {category}.csv with their labels"]
    return [f"{name}: no row in {labels.files[category]}" for name in unlabelled]


def _is_label_file(name: str) -> bool:
    return name.rpartition("/")[2] in _CSV_NAMES


def _is_mlrsnet(entry: str) -> bool:
    return entry.lower().startswith("mlrsnet")


def _is_corrected(folder: str) -> bool:
    parts = folder.lower().split("/")
    return any(part.startswith(_CORRECTED_START) or any(w in part for w in _CORRECTED_WORDS) for part in parts)
