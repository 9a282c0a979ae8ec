"""The comparison with the published counts."""

import pytest
from mlrsnet_files import filename, rows, write_csv, write_mlrsnet

from tfds_builders import ArchiveError
from tfds_builders.mlrsnet.check import check_archive


def test_a_small_archive_is_reported_without_reading_an_image(tmp_path):
    root = write_mlrsnet(tmp_path, corrected="labels_corrected")
    for path in root.rglob("*.jpg"):
        path.write_bytes(b"")
    report = check_archive(root)
    assert (report.images, report.problems) == (40, [])
    assert "Images with labels, and rows of the label files: park, images: 8 instead of 1682" in report.differences
    assert "Images with labels, and rows of the label files: beach, corrected: 0 instead of 2500" in report.differences
    assert (
        "Images that break the README's 1 to 13 labels: park, official above 13: 1 instead of 0" in report.differences
    )
    assert any(
        line.startswith("Corrected labels that differ from the official ones: parkway") for line in report.differences
    )
    assert "official labels, park: of 8 images 1 have more than 13 labels" in report.damage
    assert not report.strict_ok
    assert report.damage[0] in report.text()


def test_only_official_labels_are_compared_where_there_are_no_others(tmp_path):
    report = check_archive(write_mlrsnet(tmp_path))
    assert not any("corrected" in line for line in [*report.differences, *report.damage])
    assert len(report.tables) == 3


def test_bad_rows_and_lost_images_are_problems(tmp_path):
    root = write_mlrsnet(tmp_path, corrected="labels_corrected")
    (root / "Images" / "park" / filename("park", 1)).unlink()
    cells = rows("airport", 8)
    cells[3][7] = "?"
    write_csv(root / "labels" / "airport.csv", cells)
    report = check_archive(root)
    assert report.problems == [
        f"labels/airport.csv, line 4: {filename('airport', 2)}: the value '?' is neither 0 nor 1",
        f"Images/park/{filename('park', 1)}: no such image, but it has labels",
    ]
    assert f"{filename('airport', 2)}: in the corrected labels only" in report.differences
    with pytest.raises(ArchiveError, match="no such archive"):
        check_archive(root / "missing")


def test_the_published_label_files_differ_in_nothing_but_the_absent_images(real_data, tmp_path):
    for name in ("labels_official.zip", "labels_jiecheney_fixed.zip"):
        (tmp_path / name).symlink_to(real_data / "mlrsnet" / name)
    report = check_archive(tmp_path)
    assert report.images == 0
    assert len(report.problems) == len(report.differences) == 46
    assert all(line.endswith("unpack the category's .rar file there") for line in report.problems)
    assert all(": no image" in line for line in report.problems)
    assert all(", images: 0 instead of " in line for line in report.differences)
    assert report.damage[0].startswith("official labels: 3481 of 109161 images break the README's 1 to 13 labels")
    assert "official labels, parkway: of 2537 images 1933 have more than 13 labels" in report.damage
    assert "the corrected labels differ from the official ones in 10300 images and 91967 cells" in report.damage
    assert "corrected labels, stadium: 2462 images and 2462 cells differ" in report.damage
