"""A source over one patch in a folder: one GeoTIFF file per band, as in the archives of BigEarthNet."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtsccd_jax.data.bands import check_finite, known_bands
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import read_bytes

SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class PatchSource:
    """One patch without labels, read from a file `<name>_<band>.tif` per band."""

    root: Path
    paths: Mapping[str, Path]
    band_fields: tuple[str, ...]
    split = "query"
    image_fields: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    generated = False  # images in folders count as real

    @property
    def name(self) -> str:
        """The folder as the user gave it."""
        return str(self.root)

    @property
    def dataset(self) -> str:
        """The name used in results: "folder:" and the folder's name."""
        return f"folder:{self.root.resolve().name}"

    @property
    def fields(self) -> tuple[str, ...]:
        """Every key of `source[0]`."""
        return (*self.band_fields, "filename")

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """An empty mapping: a patch in a folder has no labels."""
        return {}

    @property
    def stored_bands(self) -> tuple[str, ...]:
        """The bands that the folder has."""
        return tuple(self.paths)

    def reading(self, bands: Sequence[str]) -> "PatchSource":
        """Return a source over the same patch that reads other bands."""
        return _complete(self.root, self.paths, bands)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        if row != 0:
            raise IndexError(f"row {row} of 1")
        return {name: value[0] for name, value in self.read(np.zeros(1, np.int64)).items()}

    def read(self, row_b: np.ndarray) -> dict[str, np.ndarray]:
        """Read the patch as a batch, once for each row: bands (b, h, w) of their own size and type, and `filename`."""
        from tfds_builders.reading.geotiff import read_tiff

        known = known_bands().BANDS
        bands = {
            name: read_tiff(self.paths[name], shape=known[name].shape, dtype=known[name].dtype)
            for name in self.band_fields
        }
        for name, band_hw in bands.items():
            check_finite(band_hw, str(self.paths[name]), "give another patch")
        batch = {name: np.broadcast_to(band, (len(row_b), *band.shape)) for name, band in bands.items()}
        return batch | {"filename": np.repeat(self.column("filename"), len(row_b))}

    def column(self, field: str) -> np.ndarray:
        """Return the values of `filename`: the folder's name, (1,)."""
        if field != "filename":
            raise KeyError(f"no column {field!r}; there is filename")
        return np.array([self.root.resolve().name])

    def fingerprint(self) -> str:
        """Return a SHA-256 of the bands to read and their files."""
        digest = hashlib.sha256()
        for name in self.band_fields:
            digest.update(f"{name}:{hashlib.sha256(read_bytes(self.paths[name])).hexdigest()}\n".encode())
        return digest.hexdigest()


def patch_source(folder: str | Path, bands: Sequence[str]) -> PatchSource:
    """Open the patch in a folder for some bands.

    Raises:
        InputError: There is no such folder, no file of a band, or more than one.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(
            f"{root} is not a folder; give that of a patch, with a file `..._{bands[0]}.tif` for each band"
        )
    paths: dict[str, Path] = {}
    known = known_bands().BANDS
    for file in sorted(root.iterdir()):
        band = file.stem.rpartition("_")[2]
        if file.suffix.lower() in SUFFIXES and band in known:
            if band in paths:
                raise InputError(f"{root}: {paths[band].name} and {file.name} are both of band {band}; keep one patch")
            paths[band] = file
    return _complete(root, paths, bands)


def _complete(root: Path, paths: Mapping[str, Path], bands: Sequence[str]) -> PatchSource:
    if missing := [band for band in bands if band not in paths]:
        have = f"has {', '.join(paths)}" if paths else "has no bands"
        raise InputError(f"{root}: no file `..._{missing[0]}.tif` ({len(missing)} bands missing); the folder {have}")
    return PatchSource(root, paths, tuple(bands))
