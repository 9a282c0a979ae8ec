"""Classes, cities and file names of MtSCCD.

MtSCCD is a bi-temporal land-use scene data set of five Chinese cities (32,774 tiles of 300 x 300 pixels at about 1 m,
two dates each). Its file names, `xx_yyyymm_nx_ny_c` (section 2.1 of the paper), say everything that the builders
need.
"""

import dataclasses
import functools
import re
import tomllib
from collections.abc import Sequence

from tfds_builders.reading.archive import ArchiveError


@dataclasses.dataclass(frozen=True)
class ClassName:
    """One of the ten land-use classes of Table 2."""

    label: int  # 0 to 9, as in the built data sets
    number: int  # 1 to 10, as in the paper and in file names
    name: str
    abbreviation: str
    chinese: str


CLASSES: tuple[ClassName, ...] = (
    ClassName(0, 1, "residential_land", "RL", "居住用地"),
    ClassName(1, 2, "public_service_and_commercial_land", "PSCL", "公商用地"),
    ClassName(2, 3, "educational_land", "EL", "教育用地"),
    ClassName(3, 4, "industrial_land", "IL", "工业用地"),
    ClassName(4, 5, "transportation_land", "TL", "交通用地"),
    ClassName(5, 6, "agricultural_land", "AL", "农业用地"),
    ClassName(6, 7, "water_body", "WB", "水体"),
    ClassName(7, 8, "green_space", "GS", "绿地"),
    ClassName(8, 9, "woodland", "WL", "林地"),
    ClassName(9, 10, "bare_land", "BL", "裸地"),
)
CLASS_NAMES: tuple[str, ...] = tuple(entry.name for entry in CLASSES)


@dataclasses.dataclass(frozen=True)
class City:
    """One city: how files name it, its two dates where they are known, and the splits its tiles go to.

    `role` is `"train"` (its tiles are split into `train` and `validation`) or the name of a test split. `dates` are
    the first and the second `yyyymm`; empty means that the earlier and the later date found in the archive are taken.
    """

    name: str
    code: str = ""
    chinese: str = ""
    dates: tuple[str, ...] = ()
    role: str = "train"


# The codes are the paper's "initials of the city"; the letters themselves are not printed.
CITIES: tuple[City, ...] = (
    City("hangzhou", "HZ", "杭州", ("201310", "201810"), "train"),
    City("shanghai", "SH", "上海", ("201007", "201911"), "train"),
    City("wuhan", "WH", "武汉", ("201307", "202109"), "train"),
    City("nanjing", "NJ", "南京", ("201305", "201903"), "test_b"),
    City("hefei", "HF", "合肥", ("201412", "202110"), "test_a"),
)

SPLITS: tuple[str, ...] = ("train", "validation", "test_a", "test_b")
IMAGE_EXTENSIONS: tuple[str, ...] = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp")


@dataclasses.dataclass(frozen=True, slots=True)
class SceneName:
    """The parts of a file name: `city` is the city's full name, `label` runs from 0 to 9."""

    city: str
    date: str
    tile_x: int
    tile_y: int
    label: int


_NAME = re.compile(r"(?P<city>.+?)_(?P<date>\d{6})_(?P<x>\d{1,9})_(?P<y>\d{1,9})_(?P<c>.+)", re.ASCII)


def _token(text: str) -> str:
    """Return `text` in the spelling that names are compared in: lower case, words joined by one underscore."""
    return re.sub(r"[\s_-]+", "_", text.replace("&", " and ").strip().casefold()).strip("_")


_LABEL_OF_TOKEN: dict[str, int] = {
    _token(spelling): entry.label for entry in CLASSES for spelling in (entry.name, entry.abbreviation, entry.chinese)
}


@functools.lru_cache(maxsize=1024)
def class_label(text: str) -> int | None:
    """Return the label (0 to 9) that `text` names, or None.

    `text` is a number 1 to 10 (zeros in front are fine), an abbreviation, an English or a Chinese name, in any case.
    """
    token = _token(text)
    if token.isascii() and token.isdigit():
        number = int(token)
        return number - 1 if 1 <= number <= len(CLASSES) else None
    return _LABEL_OF_TOKEN.get(token)


@functools.lru_cache(maxsize=1024)
def find_city(text: str, cities: tuple[City, ...] = CITIES) -> City | None:
    """Return the city that `text` names by code, English or Chinese name in any case, or None."""
    token = _token(text)
    return next((c for c in cities if token and token in map(_token, (c.code, c.name, c.chinese))), None)


def parse_name(filename: str, cities: tuple[City, ...] = CITIES) -> SceneName:
    """Return the parts of `filename` (`xx_yyyymm_nx_ny_c.<ext>`, no folder)."""
    stem, dot, _ = filename.rpartition(".")
    match = _NAME.fullmatch(stem if dot else filename)
    if match is None:
        raise ArchiveError(f"{filename}: not a name of the form city_yyyymm_x_y_class; rename the file or remove it")
    city = find_city(match["city"], cities)
    if city is None:
        known = ", ".join(c.code or c.name for c in cities)
        raise ArchiveError(
            f"{filename}: unknown city '{match['city']}' (known: {known}); add it to cities.toml beside the archive"
        )
    if not 1 <= int(match["date"][4:]) <= 12:
        raise ArchiveError(f"{filename}: '{match['date']}' is not a month yyyymm; rename the file or remove it")
    label = class_label(match["c"])
    if label is None:
        raise ArchiveError(f"{filename}: unknown class '{match['c']}' (1 to 10, or a name of Table 2); rename the file")
    return SceneName(city.name, match["date"], int(match["x"]), int(match["y"]), label)


def is_scene_name(filename: str) -> bool:
    """Return whether a file is called like a scene, whatever the city, class and kind of file."""
    stem, dot, _ = filename.rpartition(".")
    return _NAME.fullmatch(stem if dot else filename) is not None


def is_class_zero(filename: str) -> bool:
    """Return whether a file is called like a scene of the class 0, which is none: the paper counts from 1."""
    match = _NAME.fullmatch(filename.rpartition(".")[0])
    return match is not None and re.fullmatch(r"\s*0+\s*", match["c"]) is not None


def format_name(city: City, phase: int, tile_x: int, tile_y: int, label: int) -> str:
    """Return the file name of one scene in the paper's form, e.g. `HZ_201310_12_7_1.jpg`.

    `phase` is 1 or 2 and picks the city's date; `label` is 0 to 9 and is written as 1 to 10.
    """
    return f"{city.code or city.name}_{city.dates[phase - 1]}_{tile_x}_{tile_y}_{CLASSES[label].number}.jpg"


def with_cities(cities: Sequence[City], added: Sequence[City]) -> tuple[City, ...]:
    """Return `cities` with `added` behind them; a training city of the paper may be turned into a test city.

    Raises:
        ValueError: a city is given twice, Hefei or Nanjing is given, or a name has letters that a split cannot have.
    """
    result = list(cities)
    for new in added:
        name = _token(new.name)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"city '{new.name}': a name has letters a-z, digits and '_', and starts with a letter")
        if new.role not in ("train", "test"):
            raise ValueError(f"city '{new.name}': its role is 'train' or 'test', not '{new.role}'")
        role = "train" if new.role == "train" else f"test_{name}"
        known = next((i for i, city in enumerate(result) if city.name == name), None)
        if known is None:
            taken = next((c for c in result if new.code and _token(c.code) == _token(new.code)), None)
            if taken is not None:
                raise ValueError(f"city '{new.name}': its code {new.code} is that of {taken.name}")
            result.append(dataclasses.replace(new, name=name, role=role))
        elif known < len(CITIES) and CITIES[known].role == "train" and result[known] == CITIES[known]:
            result[known] = dataclasses.replace(CITIES[known], role=role)
        elif known < len(CITIES) and CITIES[known].role != "train":
            raise ValueError(f"city '{new.name}' is the split {CITIES[known].role} of the paper and stays it")
        elif result[known] != dataclasses.replace(new, name=name, role=role):
            raise ValueError(f"city '{new.name}' is given twice, differently")
    return tuple(result)


def parse_cities_toml(text: str, where: str) -> tuple[City, ...]:
    """Return the cities of a `cities.toml`, whose path `where` is named in errors.

    The file has one table per city: `[[city]]`, `name = "suzhou"`, `code = "SZ"`, `role = "train"` or `"test"`, and
    optionally `chinese` and `dates = ["201305", "202003"]`.
    """
    try:
        entries = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ArchiveError(f"{where}: not valid TOML ({error})") from error
    tables = entries.pop("city", None)
    if entries or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ArchiveError(f"{where}: holds [[city]] tables and nothing else")
    return tuple(_city_of_table(table, where) for table in tables)


def _city_of_table(table: dict[str, object], where: str) -> City:
    unknown = sorted(set(table) - {"name", "code", "chinese", "role", "dates"})
    if unknown:
        raise ArchiveError(f"{where}: unknown key '{unknown[0]}'; a city has name, code, role, chinese and dates")
    if "name" not in table or "role" not in table:
        raise ArchiveError(f"{where}: every [[city]] needs a name and a role ('train' or 'test')")
    dates = table.get("dates", [])
    texts = {key: value for key, value in table.items() if key != "dates"}
    if not all(isinstance(value, str) for value in texts.values()):
        raise ArchiveError(f"{where}: name, code, role and chinese are texts in quotes")
    if not isinstance(dates, list) or not all(re.fullmatch(r"\d{6}", str(date)) for date in dates):
        raise ArchiveError(f"{where}: dates is a list of months, as in ['201305', '202003']")
    if len(dates) not in (0, 2):
        raise ArchiveError(f"{where}: a city has two dates, the earlier one first")
    return City(**{key: str(value) for key, value in texts.items()}, dates=tuple(map(str, dates)))
