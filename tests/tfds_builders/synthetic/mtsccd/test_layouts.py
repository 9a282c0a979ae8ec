"""Generated MtSCCD archives in every layout."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tfds_builders import check_archive
from tfds_builders.synthetic import write_archive
from tfds_builders.synthetic.mtsccd import archive


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("layout", range(1, 8))
def test_the_reader_finds_all_of_every_layout(tmp_path, layout):
    images = write_archive(tmp_path, scale=0.002, image_size=8, layout=layout)
    report = check_archive(tmp_path)
    assert report.images == images == 2 * archive.pair_counts(0.002).sum()
    assert report.pairs == images // 2
    assert report.problems == []
    assert [entry.name for entry in tmp_path.iterdir()] == [archive.LAYOUTS[layout].root]


def test_images_have_the_size_asked_for(tmp_path):
    write_archive(tmp_path, scale=0.001, image_size=20)
    files = _files(tmp_path / "MtSCCD")
    files.pop("GENERATED.md")
    assert len(files) == 2 * archive.pair_counts(0.001).sum()
    for data in files.values():
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (20, 20, 3)
        assert image.std() > 2
    city, phase, name, file = next(iter(files)).split("/")
    assert (city, phase) == ("hangzhou", "T1")
    assert file.startswith("HZ_201310_")
    assert name == "agricultural_land"
