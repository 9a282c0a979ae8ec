"""Find the files of one patch and read its JSON file. Light to import, for the worker processes."""

import re
from dataclasses import dataclass

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import is_of_the_machine, read_file
from tfds_builders.reading.text import parsed_json

_TILE = re.compile(r"_T(\d{2}[A-Z]{3})_")


@dataclass(frozen=True, slots=True)
class PatchMetadata:
    """The content of a patch's JSON file.

    `tile` is the MGRS tile ("" where the file does not say it: that of a Sentinel-1 patch is in its name), `s2_name`
    the Sentinel-2 patch that a Sentinel-1 patch belongs to. `ulx` and `uly` are the UTM easting and northing of the
    upper left corner, in metres.
    """

    labels: tuple[str, ...]
    ulx: int
    uly: int
    tile: str
    s2_name: str


def metadata_path(folder: str, name: str) -> str:
    """Return the path of the JSON file of patch `name` in `folder`."""
    return f"{folder}/{name}/{name}_labels_metadata.json"


def band_path(folder: str, name: str, band: str) -> str:
    """Return the path of the TIFF file of one band of patch `name` in `folder`."""
    return f"{folder}/{name}/{name}_{band}.tif"


def read_metadata(path: str, shown_path: str) -> PatchMetadata:
    """Return the content of the JSON file at `path`; errors call it `shown_path`."""
    try:
        content = parsed_json(read_file(path))
    except FileNotFoundError as error:
        raise ArchiveError(f"{shown_path}: missing") from error
    except OSError as error:
        if is_of_the_machine(error):
            raise
        raise ArchiveError(f"{shown_path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ArchiveError(f"{shown_path}: broken JSON ({error})") from error
    try:
        labels, corner = tuple(content["labels"]), content["coordinates"]
        ulx, uly = int(corner["ulx"]), int(corner["uly"])
        tile = _TILE.search(content.get("tile_source", ""))
        s2_name = content.get("corresponding_s2_patch", "")
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ArchiveError(f"{shown_path}: lacks what it should say of the patch ({error})") from error
    if not labels:
        raise ArchiveError(f"{shown_path}: has no label")
    return PatchMetadata(labels, ulx, uly, tile[1] if tile else "", s2_name)
