"""Rewrite the dummy archive of `bigearthnet_v1`: `python tests/helpers/make_bigearthnet_v1_dummy_data.py`."""

import tempfile
import zipfile
from pathlib import Path

from bigearthnet_v1_files import write

_TARGET = Path(__file__).parents[2] / "tfds_builders" / "bigearthnet_v1" / "dummy_data" / "BigEarthNet.zip"


def main() -> None:
    """Write the archive: both sensors and all lists in one zip file."""
    _TARGET.parent.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(_TARGET, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed,
    ):
        root = write(Path(folder))
        for path in sorted(root.rglob("*.*")):
            if path.is_file():
                info = zipfile.ZipInfo(str(path.relative_to(root)))
                packed.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
