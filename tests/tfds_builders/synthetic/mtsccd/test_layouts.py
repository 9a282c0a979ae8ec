"""Generated MtSCCD archives in every layout."""

import cv2
import pytest

from tfds_builders import check_archive
from tfds_builders.synthetic import write_archive
from tfds_builders.synthetic.mtsccd import archive


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
    files = sorted(tmp_path.rglob("*.jpg"))
    assert len(files) == 2 * archive.pair_counts(0.001).sum()
    for file in files:
        image = cv2.imread(str(file))
        assert image.shape == (20, 20, 3)
        assert image.std() > 2
    assert files[0].relative_to(tmp_path).parts[1:4] == ("hangzhou", "T1", "agricultural_land")
    assert files[0].name.startswith("HZ_201310_")
