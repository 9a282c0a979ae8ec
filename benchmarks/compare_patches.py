"""Reading the 12 Sentinel-2 bands of a patch, against rasterio, tifffile and LMDB; building at two scales.

    python benchmarks/compare_patches.py [--scales 0.002 0.01] [--patches 256] [--batch 64] [--workers 2] [--rounds 7]
        [--out FILE]

Generates BigEarthNet v2 at both scales in a temporary folder (some 340 kB a patch on disk, and as much again in each of
both formats), and of the smaller one the LMDB that rico-hdl writes. Every reader reads the same patches in the same
random order, all 12 bands at their native size, from files in the page cache; their pixels are compared first.

- files: the builders' reader of band files; beside it rasterio and tifffile, which open the same files band by band.
- lmdb: the builders' reader of the LMDB; beside it lmdb and safetensors, as rico-hdl's users read it, and the same with
  the bands of a batch stacked.
- built: the data set built with the configuration `s2`, read in batches as training reads it: the bands of a batch are
  stacked, checksums are checked, and labels and names are read too.

A build is the whole of `official` (14 bands and reference maps) in both formats, in a fresh process each time, with the
values of `mtsccd-jax bench build`. Bytes are per patch: of its files in the archive, and of its records in each format.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from record import chosen, make_parser, measure, publish, spread

from mtsccd_jax.data.tfds_source import TfdsSource, tfds_source
from mtsccd_jax.host_memory import keep_freed_memory
from mtsccd_jax.perf.bench.one_build import measured
from tfds_builders import build
from tfds_builders.bigearthnet.bands import BANDS, S1_BANDS, S2_BANDS
from tfds_builders.bigearthnet_v2.archive import find_patches, open_v2
from tfds_builders.bigearthnet_v2.lmdb_patches import LmdbPatches
from tfds_builders.bigearthnet_v2.patches import MAPS, S1, S2, FolderPatches
from tfds_builders.bigearthnet_v2.reference_maps import MAP_SHAPE, MAP_SUFFIX
from tfds_builders.synthetic.bigearthnet_v2 import ROOT, write_archive

DATASET = "bigearthnet_v2"
RATIOS = (
    ("files", "rasterio"),
    ("files", "tifffile"),
    ("lmdb", "lmdb_safetensors"),
    ("built", "rasterio"),
    ("built", "lmdb_safetensors"),
    ("built", "lmdb_safetensors_stacked"),
)
QUANTILES = {"median": 0.5, "p10": 0.1, "p90": 0.9}


def write_lmdb(archive: Path, out: Path) -> None:
    """Write the LMDB that rico-hdl makes of an extracted archive: safetensors by the names of patches."""
    import lmdb
    from safetensors.numpy import save

    opened = open_v2(archive)
    out.mkdir()
    with lmdb.open(str(out), map_size=1 << 40) as environment:
        for kind, found in find_patches(opened, (S2, S1, MAPS)).items():
            for name in map(bytes.decode, found.names.tolist()):
                if kind == MAPS:
                    key, layouts = f"{name}{MAP_SUFFIX}", {"Data": (MAP_SHAPE, "uint16")}
                    raw = {"Data": opened.patches.reference_map(name)}
                else:
                    key, layouts = name, {band: (BANDS[band].shape, BANDS[band].dtype) for band in BANDS}
                    raw = opened.patches.bands(name, S2_BANDS if kind == S2 else S1_BANDS)
                tensors = {
                    band: np.frombuffer(data, layouts[band][1]).reshape(layouts[band][0]) for band, data in raw.items()
                }
                with environment.begin(write=True) as transaction:
                    transaction.put(key.encode(), save(tensors))


def readers(
    archive: Path, lmdb: Path, environment: Any, source: TfdsSource, patches: int, batch: int
) -> dict[str, Callable]:
    """Return one pass over `patches` patches of each way to read them, once all their pixels agree."""
    import rasterio
    import tifffile
    from safetensors.numpy import load

    row_n = np.random.default_rng(0).permutation(len(source))[:patches]
    names = source.column("patch_id")[row_n].tolist()
    files, values = FolderPatches(str(archive)), LmdbPatches(str(lmdb))

    def paths(name: str) -> list[str]:
        start = f"{archive}/{S2}/{name.rsplit('_', 2)[0]}/{name}/{name}"
        return [f"{start}_{band}.tif" for band in S2_BANDS]

    def by_rasterio(name: str) -> list[np.ndarray]:
        bands = []
        for path in paths(name):
            with rasterio.open(path) as file:
                bands.append(file.read(1))
        return bands

    def by_tifffile(name: str) -> list[np.ndarray]:
        return [tifffile.imread(path) for path in paths(name)]

    def by_safetensors(name: str) -> dict[str, np.ndarray]:
        with environment.begin() as transaction:
            return load(transaction.get(name.encode()))

    for row, name in zip(row_n, names, strict=True):
        expected = by_rasterio(name)
        from_file, from_lmdb = files.bands(name, S2_BANDS), values.bands(name, S2_BANDS)
        peer, example = by_safetensors(name), source.read(np.array([row]))
        for band, pixels, other in zip(S2_BANDS, expected, by_tifffile(name), strict=True):
            assert from_file[band] == from_lmdb[band] == pixels.tobytes()
            for found in (other, peer[band], example[band][0]):
                assert found.dtype == pixels.dtype
                assert (found == pixels).all()

    def each(read: Callable) -> Callable[[], None]:
        def read_all() -> None:
            for name in names:
                read(name)

        return read_all

    def built() -> None:
        for start in range(0, patches, batch):
            source.read(row_n[start : start + batch])

    def stacked_by_safetensors() -> None:
        for start in range(0, patches, batch):
            examples = [by_safetensors(name) for name in names[start : start + batch]]
            for band in S2_BANDS:
                np.stack([example[band] for example in examples])

    return {
        "files": each(lambda name: files.bands(name, S2_BANDS)),
        "rasterio": each(by_rasterio),
        "tifffile": each(by_tifffile),
        "lmdb": each(lambda name: values.bands(name, S2_BANDS)),
        "lmdb_safetensors": each(by_safetensors),
        "lmdb_safetensors_stacked": stacked_by_safetensors,
        "built": built,
    }


def size_of(folder: Path, pattern: str) -> int:
    """Return the bytes of all files below `folder` that match."""
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file())


def build_at(place: Path, archive: Path, workers: int, rounds: int) -> dict:
    """Build a whole archive some times; return rates, bytes per patch and peaks."""
    builds, patches = [], 0
    for turn in range(1 + rounds):
        built = measured(DATASET, archive, place / f"tfds-{turn}", workers)
        patches = built["examples"]
        if turn:
            builds.append(built)
    # The patches that `official` leaves out are as large as these.
    kept = len([path for path in (archive / S2).glob("*/*") if path.is_dir()])
    raw = sum(size_of(archive / kind, "*.tif*") for kind in (S2, S1, MAPS))
    rate = patches / np.array([built["s"] for built in builds])
    return {
        "patches": patches,
        "patches_per_s": {name: round(float(np.quantile(rate, q))) for name, q in QUANTILES.items()},
        "patches_per_processor_s": round(float(np.median([patches / built["processor_s"] for built in builds]))),
        "archive_bytes": round(raw / kept),
        "built_bytes": {
            suffix: round(size_of(place / "tfds-1", f"*.{suffix}-*") / patches)
            for suffix in ("tfrecord", "array_record")
        },
        "main_mib": round(max(built["main_mib"] for built in builds)),
        "worker_mib": round(max(built["worker_mib"] for built in builds)),
    }


def main() -> None:
    parser = make_parser(__doc__, patches=256, batch=64, workers=2, builds=3)
    parser.add_argument("--scales", type=float, nargs=2, default=(0.002, 0.01), help="the first one is read, too")
    arguments = parser.parse_args()
    import lmdb

    keep_freed_memory()  # as every command of mtsccd-jax does
    with tempfile.TemporaryDirectory(prefix="compare-patches-") as folder:
        builds = []
        for number, scale in enumerate(arguments.scales):
            place = Path(folder) / str(number)
            write_archive(place, scale=scale, workers=arguments.workers)
            builds.append(build_at(place, place / ROOT, arguments.workers, arguments.builds))
        place = Path(folder) / "0"
        write_lmdb(place / ROOT, place / "lmdb")
        build(DATASET, archive=place / ROOT, data_dir=place / "tfds", config="s2", workers=arguments.workers)
        source = tfds_source(f"{DATASET}/s2", "train+validation+test", data_dir=place / "tfds", bands=S2_BANDS)
        patches = min(arguments.patches, len(source))
        with lmdb.open(str(place / "lmdb"), readonly=True, lock=False, readahead=False) as environment:
            calls = readers(place / ROOT, place / "lmdb", environment, source, patches, arguments.batch)
            times = measure(calls, rounds=arguments.rounds)
    result = {
        "benchmark": "patches",
        "patches": patches,
        "batch": arguments.batch,
        "patch_us": {name: round(value.median_s / patches * 1e6) for name, value in times.items()},
        **{f"{ours}_over_{peer}": spread(times[peer], times[ours]) for ours, peer in RATIOS},
        **chosen(arguments, "workers"),
        "builds": builds,
    }
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
