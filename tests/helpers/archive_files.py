"""Small MtSCCD archives for tests, written file by file without the package's own code."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CODES = {"hangzhou": "HZ", "shanghai": "SH", "wuhan": "WH", "nanjing": "NJ", "hefei": "HF"}
DATES = {
    "HZ": ("201310", "201810"),
    "SH": ("201007", "201911"),
    "WH": ("201307", "202109"),
    "NJ": ("201305", "201903"),
    "HF": ("201412", "202110"),
}
CLASSES = (
    ("residential_land", "RL", "居住用地"),
    ("public_service_and_commercial_land", "PSCL", "公商用地"),
    ("educational_land", "EL", "教育用地"),
    ("industrial_land", "IL", "工业用地"),
    ("transportation_land", "TL", "交通用地"),
    ("agricultural_land", "AL", "农业用地"),
    ("water_body", "WB", "水体"),
    ("green_space", "GS", "绿地"),
    ("woodland", "WL", "林地"),
    ("bare_land", "BL", "裸地"),
)


def image_bytes(seed: int, size: int = 8, kind: str = "JPEG") -> bytes:
    """Return an encoded image of noise that no other seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def scenes(tiles: int, codes: dict[str, tuple[str, str]] = DATES) -> list[tuple[str, int, str, int, int, int]]:
    """Return (code, phase, date, x, y, number of the class) of an archive with `tiles` tiles a city.

    Tile t has class t % 10 at the first date; every third tile changes to the next class.
    """
    listed = []
    for code, dates in codes.items():
        for tile in range(tiles):
            for phase in (1, 2):
                label = (tile + (phase == 2 and tile % 3 == 0)) % 10
                listed.append((code, phase, dates[phase - 1], tile // 4, tile % 4, label + 1))
    return listed


def name(code: str, date: str, x: int, y: int, number: int | str, extension: str = "jpg") -> str:
    """Return a file name of the form of section 2.1 of the paper."""
    return f"{code}_{date}_{x}_{y}_{number}.{extension}"


def names_with_counts(counts: Mapping[tuple[str, int], Sequence[int]]) -> list[str]:
    """Return names of as many images as `counts` has by (city, phase) and class; which tile has which is arbitrary."""
    names = []
    for (city, phase), of_classes in counts.items():
        numbers = np.repeat(np.arange(1, 11), of_classes)
        date = DATES[CODES[city]][phase - 1]
        names += [name(CODES[city], date, tile // 100, tile % 100, number) for tile, number in enumerate(numbers)]
    return names


def pack(root: Path, target: Path, pattern: str = "*.*") -> Path:
    """Return the zip file `target` after packing the files below `root` whose names have this pattern."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as packed:
        for path in sorted(root.rglob(pattern)):
            if path.is_file():
                packed.write(path, path.relative_to(root))
    return target


def write(root: Path, tiles: int = 8, codes: dict[str, tuple[str, str]] = DATES) -> Path:
    """Return `root` after writing an unsplit archive: `MtSCCD/<city>/{T1,T2}/<class number>/<name>`."""
    for seed, (code, phase, date, x, y, number) in enumerate(scenes(tiles, codes)):
        folder = root / "MtSCCD" / code / f"T{phase}" / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name(code, date, x, y, number)).write_bytes(image_bytes(seed))
    return root
