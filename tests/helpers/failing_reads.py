"""Let reads of a file fail in the middle, in whatever library they are made, and say what its reader makes of that.

A disk fails below Python, so `failing_reads.c` stands before the C library. The readers run in a process of their own:

    LD_PRELOAD=failing_reads.so python failing_reads.py FOLDER
"""

import contextlib
import ctypes
import gzip
import io
import itertools
import json
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

Reader = Callable[[Path], object]
# Name -> how to make what is read in a folder, the file that fails, and its reader.
READERS: dict[str, tuple[Callable[[Path], object], str, Reader]] = {}
ONCE = ("the first alone", "one in the middle")
WHEN = ("from the first", "from the middle", "the last", *ONCE)


def compiled(folder: Path) -> Path:
    """Compile the library that stands before the C library; OSError where there is no compiler."""
    import subprocess

    library = folder / "failing_reads.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


def reader(name: str, make: Callable[[Path], object], file: str = "") -> Callable[[Reader], Reader]:
    """Add a function, which is given the failing file, to the readers."""

    def add(read: Reader) -> Reader:
        READERS[name] = make, file or name, read
        return read

    return add


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda place: (place / name).write_bytes(content)


# --- what is read -----------------------------------------------------------------------------------------------------


def scenes(place: Path) -> None:
    import image_files

    for name in ("a", "b"):
        (place / name).mkdir()
        for number in range(3):
            (place / name / f"{number}.png").write_bytes(image_files.encoded("PNG"))


def pairs(place: Path) -> None:
    scenes(place)
    for name, new in (("a", "A"), ("b", "B")):
        (place / name).rename(place / new)
    (place / "pairs.csv").write_text("A,B,changed\n0.png,0.png,1\n")


def archive(place: Path) -> None:
    import numpy as np

    noise = np.random.default_rng(0).bytes(100_000)
    with zipfile.ZipFile(place / "a.zip", "w") as packed:
        for number in range(3):
            packed.writestr(f"{number}.jpg", noise)
    for end in ("tar", "tar.gz", "tar.bz2", "tar.xz"):
        with tarfile.open(place / f"a.{end}", f"w:{end[4:]}") as packed:
            for number in range(3):
                info = tarfile.TarInfo(f"{number}.jpg")
                info.size = len(noise)
                packed.addfile(info, io.BytesIO(noise))


def tiff(place: Path) -> None:
    import numpy as np
    import tifffile

    for name, compression in (("plain.tif", None), ("packed.tif", "zlib")):
        tifffile.imwrite(place / name, np.arange(14400, dtype=np.uint16).reshape(120, 120), compression=compression)


def patches_v1(place: Path) -> None:
    import bigearthnet_v1_files

    bigearthnet_v1_files.write(place)
    plain = place / "train.csv"
    content = plain.read_bytes()
    plain.unlink()
    (place / "train.csv.gz").write_bytes(gzip.compress(content))


def tables(place: Path) -> None:
    import bigearthnet_v2_files

    bigearthnet_v2_files.write_tables(place)


def lmdb(place: Path) -> None:
    import bigearthnet_v2_files

    bigearthnet_v2_files.write_lmdb(place / "lmdb")
    bigearthnet_v2_files.write_tables(place)


def work_directory(place: Path) -> None:
    """Write all small files of a work directory."""
    import numpy as np
    from made_up_rows import change_row

    from mtsccd_jax.engine import workdir
    from mtsccd_jax.recipes import get_recipe
    from mtsccd_jax.report import rows

    workdir.claim(place, workdir.Run(get_recipe("demo"), ("a", "b"), "folder", 10))
    with contextlib.closing(workdir.History(place, 9)) as history:
        history.extend([workdir.StepRecord(1, 0, 1.5, 0.5, 1.0, 0.1)] * 20)
    relative, sha256 = rows.save_artefact(place, "numbers", {"x": np.random.default_rng(0).random(9000)})
    row = change_row(id="a")
    rows.append(
        place, replace(row, artefacts={"predictions": relative}, checksums={"artefacts": {"predictions": sha256}})
    )
    failure = {"network": "a", "protocol": "b", "split": "", "seed": 1, "reason": "x"}
    (place / "failures.json").write_text(json.dumps([failure]))
    pairs = {"data": "a", "names": [["a", "b"]], "first_sha256": "00"}
    (place / "trained_pairs.json").write_text(json.dumps(pairs))


STEP = 2


def state() -> Any:
    import jax
    import jax.numpy as jnp

    from mtsccd_jax.engine.state import State

    kernel = jax.random.normal(jax.random.PRNGKey(1), (64, 64))
    return State(jnp.int32(STEP), jax.random.PRNGKey(0), {"kernel": kernel}, {"mean": jnp.ones(64)}, optimizer=())


def checkpoint(place: Path) -> None:
    from mtsccd_jax.engine.checkpoint import Checkpoints

    with Checkpoints(place) as checkpoints:
        checkpoints.save(state(), wait=True)
    data = place / "checkpoints" / str(STEP) / "default" / "ocdbt.process_0" / "d"
    largest = max(data.iterdir(), key=lambda path: path.stat().st_size)
    (place / "largest").write_text(str(largest.relative_to(place)))


def built(place: Path) -> None:
    import tfds_builders
    from tfds_builders.synthetic import write_archive

    kept = place.parent / "built once"
    if not kept.exists():
        write_archive(kept / "archive", scale=0.004, image_size=32, workers=1)
        tfds_builders.build("mtsccd_lusc", archive=kept / "archive", data_dir=kept / "tfds", workers=1)
    shutil.copytree(kept / "tfds", place, dirs_exist_ok=True)


# --- and by whom ------------------------------------------------------------------------------------------------------


@reader("a/1.png", scenes)
def image_of_a_folder(path: Path) -> None:
    import numpy as np

    from mtsccd_jax.data.folder_source import folder_source

    source = folder_source(path.parent.parent, "all")
    source.read(np.arange(len(source)))


@reader("an image where bad ones are skipped", scenes, "a/1.png")
def skipping(path: Path) -> None:
    from mtsccd_jax.data.folder_source import folder_source

    folder_source(path.parent.parent, "all", skip_bad=True)


@reader("an image that is built", scenes, "a/1.png")
def builders_image(path: Path) -> None:
    from tfds_builders.reading.images import load_image

    load_image(str(path), path.name, (24, 18))


@reader("pairs.csv", pairs)
def pair_list(path: Path) -> None:
    from mtsccd_jax.data.folder_source import pairs_source

    pairs_source(path.parent, "all")


def packed(path: Path) -> None:
    from tfds_builders.reading.archive import extract, open_archive

    out = path.with_name("out")
    shutil.rmtree(out, ignore_errors=True)
    open_archive(path)
    extract(path, out)


for end in ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz"):
    reader(f"a.{end}", archive)(packed)


@reader("list.txt", write("list.txt", b"a,b\n" * 9000))
def file_of_a_folder(path: Path) -> None:
    from tfds_builders.reading.archive import open_archive

    open_archive(path.parent).read(path.name)


CITY = b'[[city]]\nname = "suzhou"\ncode = "SZ"\nrole = "test"\ndates = ["201305", "202003"]\n'


@reader("cities.toml", write("cities.toml", CITY))
def cities(path: Path) -> None:
    from tfds_builders.mtsccd.archive import with_archive_cities
    from tfds_builders.mtsccd.names import CITIES
    from tfds_builders.reading.archive import open_archive

    with_archive_cities(CITIES, open_archive(path.parent))


def band(path: Path) -> None:
    import numpy as np

    from tfds_builders.reading.geotiff import read_tiff

    read_tiff(path, shape=(120, 120), dtype=np.uint16)


for name in ("plain.tif", "packed.tif"):
    reader(name, tiff)(band)


PATCH = {"labels": ["a"], "coordinates": {"ulx": 1, "uly": 2}, "tile_source": "", "corresponding_s2_patch": "s"}


@reader("labels_metadata.json", write("labels_metadata.json", json.dumps(PATCH).encode()))
def patch(path: Path) -> None:
    from tfds_builders.bigearthnet_v1.patch_files import read_metadata

    read_metadata(str(path), path.name)


@reader("train.csv.gz", patches_v1)
def list_of_patches(path: Path) -> None:
    from tfds_builders.bigearthnet_v1.archive import list_archive

    list_archive(path.parent, path.parent)


@reader("metadata.parquet", tables)
def parquet(path: Path) -> None:
    from tfds_builders.bigearthnet_v2.metadata import read_metadata

    read_metadata({"recommended": path})


MOMENTS = itertools.count()


@reader("data.mdb", lmdb, "lmdb/data.mdb")
def keys_and_values(path: Path) -> None:
    import bigearthnet_v2_files as files

    from tfds_builders.bigearthnet_v2.archive import find_patches, open_v2
    from tfds_builders.bigearthnet_v2.patches import S2

    os.utime(path, ns=(next(MOMENTS),) * 2)  # or what is known of its pages stays
    archive = open_v2(path.parent)
    find_patches(archive, (S2,))
    archive.patches.bands(files.names(0, 4)[0], files.S2_BANDS)


@reader("recipe.json", work_directory)
def recipe(path: Path) -> None:
    from mtsccd_jax.engine.workdir import load

    load(path.parent)


@reader("training.jsonl", work_directory)
def history(path: Path) -> None:
    from mtsccd_jax.engine.workdir import read_history

    read_history(path.parent)


@reader("rows.jsonl", work_directory)
def saved_rows(path: Path) -> None:
    from mtsccd_jax.report import rows

    rows.load(path.parent)


@reader("artefacts/numbers.npz", work_directory)
def artefact(path: Path) -> None:
    from mtsccd_jax.report import rows

    rows.load_artefact(path.parent.parent, rows.load(path.parent.parent)[0], "predictions")


@reader("an artefact that is verified", work_directory, "artefacts/numbers.npz")
def verified(path: Path) -> None:
    from mtsccd_jax.report.verify import verify
    from mtsccd_jax.tasks.table import CHECKS

    list(verify(path.parent.parent, CHECKS))


@reader("failures.json", work_directory)
def failures(path: Path) -> None:
    from mtsccd_jax.report.workdirs import failures

    failures(path.parent)


@reader("trained_pairs.json", work_directory)
def trained_pairs(path: Path) -> None:
    from mtsccd_jax.tasks.change.trained_pairs import read_trained_pairs

    read_trained_pairs(path.parent)


def restored(path: Path) -> None:
    from mtsccd_jax.engine.checkpoint import Checkpoints

    workdir = next(folder.parent for folder in path.parents if folder.name == "checkpoints")
    with Checkpoints(workdir) as checkpoints:
        checkpoints.restore(state())


CHECKPOINT = f"checkpoints/{STEP}"
for name in (
    *("_CHECKPOINT_METADATA", "default/_METADATA", "default/array_metadatas/process_0"),
    *("default/manifest.ocdbt", "largest"),
):
    reader(f"checkpoint: {name}", checkpoint, f"{CHECKPOINT}/{name}" if name != "largest" else name)(restored)


VERSION = "mtsccd_lusc/official/1.0.0"


def source(path: Path) -> Any:
    from mtsccd_jax.data.tfds_source import tfds_source

    data_dir = next(folder.parent for folder in path.parents if folder.name == "mtsccd_lusc")
    return tfds_source("mtsccd_lusc/official", "train", data_dir=data_dir)


for name in ("dataset_info.json", "features.json", "checksums.json", "label.labels.txt"):
    reader(name, built, f"{VERSION}/{name}")(source)


@reader("tfrecord", built, f"{VERSION}/mtsccd_lusc-train.tfrecord-00000-of-00001")
@reader("array_record", built, f"{VERSION}/mtsccd_lusc-train.array_record-00000-of-00001")
def records(path: Path) -> None:
    from mtsccd_jax.data.records import Records, Shard
    from tfds_builders.reading.record_files import TFRecordFile

    rows = len(TFRecordFile(str(path).replace("array_record", "tfrecord")))
    list(Records([Shard(path, 0, rows)]))


def safetensors(place: Path) -> None:
    import numpy as np
    from safetensors.numpy import save

    (place / "a.safetensors").write_bytes(save({"a": np.ones((200, 300), np.float32)}, {"model": "resnet18"}))


@reader("a.safetensors", safetensors)
def weights(path: Path) -> None:
    from mtsccd_jax.models.weights import files

    files.read(str(path))


@reader("values.csv", write("values.csv", b"name,oa,kappa,n,positives\nx,0.8,0.2,100,20\n"))
def published_values(path: Path) -> None:
    from mtsccd_jax.report.published import audit

    audit.read(path)


RECORD = {"schema": 1, "benchmark": "b", "command": "c", "date": "d", "environment": {}, "rows": []}


@reader("record.json", write("record.json", json.dumps(RECORD).encode()))
def benchmark(path: Path) -> None:
    from mtsccd_jax.perf import records

    records.load(path)


# --- a trial ----------------------------------------------------------------------------------------------------------

FOR_EVER = 1 << 40


def trial(library: Any, name: str, place: Path) -> dict[str, tuple[int | str, str]]:
    """Return exit status and line of a reader whose file fails from its first, middle or last read on."""
    from mtsccd_jax.cli import fail

    make, file, read = READERS[name]
    place.mkdir()
    make(place)
    path = place / file
    if file == "largest":
        path = place / path.read_text()
    library.fail_reads(bytes(path), FOR_EVER, FOR_EVER)
    read(path)
    made, said = library.reads_made(), {}
    middle = made // 2
    numbers = (0, FOR_EVER), (middle, FOR_EVER), (made - 1, made - 1), (0, 0), (middle, middle)
    for when, (first, last) in zip(WHEN, numbers, strict=True):
        library.fail_reads(bytes(path), first, last)
        out = io.StringIO()
        with contextlib.redirect_stderr(out):
            try:
                read(path)
                said[when] = 0, f"not told; {made} reads"
            except Exception as error:
                library.fail_reads(b"", 0, 0)
                try:
                    said[when] = fail(error), ""
                except Exception as unknown:
                    said[when] = "traceback", repr(unknown)
        library.fail_reads(b"", 0, 0)
        said[when] = said[when][0], (said[when][1] + out.getvalue()).strip()
    return said


def main() -> None:
    library = ctypes.CDLL(None)
    library.fail_reads.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_long]
    del os.environ["LD_PRELOAD"]
    place = Path(sys.argv[1]).resolve()
    only = sys.argv[2:]
    found = {
        name: trial(library, name, place / str(number))
        for number, name in enumerate(READERS)
        if not only or name in only
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
