"""Rewrite the dummy archive of `bigearthnet_v2`: `python tests/helpers/make_bigearthnet_v2_dummy_data.py`."""

import shutil
from pathlib import Path

from bigearthnet_v2_files import write

_TARGET = Path(__file__).parents[2] / "tfds_builders" / "bigearthnet_v2" / "dummy_data"


def main() -> None:
    """Write the extracted archives, compressed, and both tables."""
    shutil.rmtree(_TARGET, ignore_errors=True)
    write(_TARGET)


if __name__ == "__main__":
    main()
