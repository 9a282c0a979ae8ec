"""Rewrite the dummy archives of MtSCCD and MLRSNet: `python tests/helpers/make_dummy_data.py`.

LUSC's is an unsplit zip file with classes as numbers, LUCD's a tar.gz file with split folders and abbreviations,
MLRSNet's a zip file with both label sets.
"""

import gzip
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

from archive_files import CLASSES, image_bytes, name, scenes
from mlrsnet_files import write_mlrsnet

TILES = 5
_BUILDERS = Path(__file__).parents[2] / "tfds_builders"
_SPLITS = {"HF": "testA", "NJ": "testB"}


def main() -> None:
    """Write the archives."""
    lusc = _BUILDERS / "mtsccd_lusc" / "dummy_data" / "MtSCCD.zip"
    lusc.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(lusc, "w") as packed:
        for seed, (code, phase, date, x, y, number) in enumerate(scenes(TILES)):
            info = zipfile.ZipInfo(f"MtSCCD/{code}/T{phase}/{number}/{name(code, date, x, y, number)}")
            packed.writestr(info, image_bytes(seed))
    lucd = _BUILDERS / "mtsccd_lucd" / "dummy_data" / "MtSCCD_LUCD.tar.gz"
    lucd.parent.mkdir(exist_ok=True)
    with gzip.GzipFile(lucd, "wb", mtime=0) as file, tarfile.open(fileobj=file, mode="w") as tarred:
        for seed, (code, phase, date, x, y, number) in enumerate(scenes(TILES)):
            split = _SPLITS.get(code, "val" if (x, y) == (1, 0) else "train")
            abbreviation = CLASSES[number - 1][1]
            path = f"{split}/T{phase}/{abbreviation}/{name(code, date, x, y, abbreviation, 'png')}"
            data = image_bytes(seed, kind="PNG")
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tarred.addfile(info, io.BytesIO(data))
    mlrsnet = _BUILDERS / "mlrsnet" / "dummy_data" / "MLRSNet.zip"
    mlrsnet.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(mlrsnet, "w", zipfile.ZIP_DEFLATED) as packed:
        root = write_mlrsnet(Path(folder), count=4, corrected="labels_corrected")
        for path in sorted(root.rglob("*.*")):
            packed.writestr(zipfile.ZipInfo(path.relative_to(root).as_posix()), path.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
