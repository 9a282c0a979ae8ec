"""Small archives of MLRSNet for tests, written file by file without the package's own code."""

import csv
from pathlib import Path

import numpy as np
from archive_files import image_bytes

# The columns of the label files, in their order.
_COLUMNS = (
    "airplane,airport,bare soil,baseball diamond,basketball court,beach,bridge,buildings,cars,chaparral,cloud,"
    "containers,crosswalk,dense residential area,desert,dock,factory,field,football field,forest,freeway,golf course,"
    "grass,greenhouse,gully,habor,intersection,island,lake,mobile home,mountain,overpass,park,parking lot,parkway,"
    "pavement,railway,railway station,river,road,roundabout,runway,sand,sea,ships,snow,snowberg,"
    "sparse residential area,stadium,swimming pool,tanks,tennis court,terrace,track,trail,transmission tower,trees,"
    "water,wetland,wind turbine"
)
LABELS = _COLUMNS.split(",")
CATEGORIES = ("airport", "harbor&port", "park", "parking_lot", "swimmimg_pool")


def labels_of(category: str, number: int, corrected: bool) -> list[int]:
    """Return the 60 values of an image: one to four labels, but none for airport 2 and 20 for park 3 (official)."""
    rng = np.random.default_rng((CATEGORIES.index(category), number))
    values = np.zeros(60, dtype=int)
    values[rng.integers(0, 60, 4)] = 1
    if (category, number) == ("airport", 2):
        values[:] = 0
    if (category, number) == ("park", 3) and not corrected:
        values[20:40] = 1
    return values.tolist()


def filename(category: str, number: int) -> str:
    """Return the name of an image; numbers have gaps, as in the real archive."""
    return f"{category}_{900 + 3 * number:05d}.jpg"


def rows(category: str, count: int, corrected: bool = False) -> list[list[str]]:
    """Return a label file as rows of cells, its header first."""
    body = [[filename(category, n), *map(str, labels_of(category, n, corrected))] for n in range(count)]
    return [["image", *LABELS], *body]


def write_csv(path: Path, cells: list[list[str]]) -> None:
    """Write a label file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(cells)  # lines end in CR LF, as the authors' do


def write_mlrsnet(
    root: Path, count: int = 8, labels: str = "labels", corrected: str | None = None, size: int = 8
) -> Path:
    """Return `root` after writing five categories of `count` images with official (and corrected) labels."""
    seed = 0
    for category in CATEGORIES:
        folder = root / "Images" / category
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / filename(category, number)).write_bytes(image_bytes(seed := seed + 1, size))
        write_csv(root / labels / f"{category}.csv", rows(category, count))
        if corrected is not None:
            write_csv(root / corrected / f"{category}.csv", rows(category, count, corrected=True))
    return root
