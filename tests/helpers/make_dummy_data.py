"""Rewrite the dummy archives of all builders: `python tests/helpers/make_dummy_data.py`.

LUSC's is an unsplit zip file with classes as numbers, LUCD's a tar.gz file with split folders and abbreviations,
MLRSNet's and BigEarthNet v1's zip files of everything, BigEarthNet v2's the extracted archive with both tables.
"""

import gzip
import io
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import bigearthnet_v1_files
import bigearthnet_v2_files
from archive_files import CLASSES, image_bytes, name, scenes
from mlrsnet_files import write_mlrsnet

TILES = 5
_BUILDERS = Path(__file__).parents[2] / "tfds_builders"
_SPLITS = {"HF": "testA", "NJ": "testB"}


def dummy(data_set: str, file: str) -> Path:
    """Return where a dummy archive lies, with its folder made."""
    path = _BUILDERS / data_set / "dummy_data" / file
    path.parent.mkdir(exist_ok=True)
    return path


def write_zip(target: Path, write: Callable[[Path], Path]) -> None:
    """Write what `write` makes of a folder into a zip file, without times."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(target, "w") as packed:
        root = write(Path(folder))
        for path in sorted(root.rglob("*.*")):
            if path.is_file():
                info = zipfile.ZipInfo(path.relative_to(root).as_posix())
                packed.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)


def main() -> None:
    """Write the archives."""
    with zipfile.ZipFile(dummy("mtsccd_lusc", "MtSCCD.zip"), "w") as packed:
        for seed, (code, phase, date, x, y, number) in enumerate(scenes(TILES)):
            info = zipfile.ZipInfo(f"MtSCCD/{code}/T{phase}/{number}/{name(code, date, x, y, number)}")
            packed.writestr(info, image_bytes(seed))
    lucd = dummy("mtsccd_lucd", "MtSCCD_LUCD.tar.gz")
    with gzip.GzipFile(lucd, "wb", mtime=0) as file, tarfile.open(fileobj=file, mode="w") as tarred:
        for seed, (code, phase, date, x, y, number) in enumerate(scenes(TILES)):
            split = _SPLITS.get(code, "val" if (x, y) == (1, 0) else "train")
            abbreviation = CLASSES[number - 1][1]
            path = f"{split}/T{phase}/{abbreviation}/{name(code, date, x, y, abbreviation, 'png')}"
            data = image_bytes(seed, kind="PNG")
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tarred.addfile(info, io.BytesIO(data))
    write_zip(dummy("mlrsnet", "MLRSNet.zip"), lambda root: write_mlrsnet(root, count=4, corrected="labels_corrected"))
    write_zip(dummy("bigearthnet_v1", "BigEarthNet.zip"), bigearthnet_v1_files.write)
    v2 = dummy("bigearthnet_v2", "")
    shutil.rmtree(v2)
    bigearthnet_v2_files.write(v2)


if __name__ == "__main__":
    main()
