import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tfds_builders import check_archive, synthetic
from tfds_builders.reading.archive import ArchiveError
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
    assert b"drawn by a program" in files.pop("GENERATED.md")
    assert len(files) == 2 * archive.pair_counts(0.001).sum()
    for data in files.values():
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (20, 20, 3)
        assert image.std() > 2
    city, phase, name, file = next(iter(files)).split("/")
    assert (city, phase) == ("hangzhou", "T1")
    assert file.startswith("HZ_201310_")
    assert name == "agricultural_land"


def test_bytes_depend_on_the_seed_and_not_on_the_workers(tmp_path, monkeypatch):
    write_archive(tmp_path / "one", scale=0.002, image_size=16, seed=5, workers=1)
    monkeypatch.setattr(synthetic, "_FEWEST_FOR_PROCESSES", 0)
    monkeypatch.setattr(synthetic, "_TASK", 9)
    write_archive(tmp_path / "two", scale=0.002, image_size=16, seed=5, workers=2)
    write_archive(tmp_path / "other", scale=0.002, image_size=16, seed=6, workers=1)
    one, two, other = (_files(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one.pop("MtSCCD/GENERATED.md") == other.pop("MtSCCD/GENERATED.md")
    assert len(one) == len(other)
    assert not set(one.values()) & set(other.values())
    assert len(set(one.values())) == len(one)


def test_progress_ends_at_the_number_of_images(tmp_path):
    told = []
    images = write_archive(tmp_path, scale=0.003, image_size=8, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (images, images)
    assert len(told) > 1
    assert [done for done, _ in told] == sorted({done for done, _ in told})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0}, "scale 0: give a number above 0"),
        ({"image_size": 7}, "image size 7: give 8 pixels or more"),
        ({"layout": 0}, "layout 0: give one of 1, 2"),
        ({"seed": -1}, "seed -1: give 0 or more"),
        ({"workers": 0}, "0 workers: give 1 or more"),
    ],
)
def test_arguments_out_of_range(tmp_path, arguments, message):
    with pytest.raises(ArchiveError, match=message):
        write_archive(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_an_archive_is_never_written_over(tmp_path):
    (tmp_path / "MtSCCD").mkdir()
    with pytest.raises(ArchiveError, match="exists already; remove it or give another folder"):
        write_archive(tmp_path, scale=0.001, image_size=8)
    assert list((tmp_path / "MtSCCD").iterdir()) == []


def test_nothing_is_left_of_an_archive_that_failed(tmp_path, monkeypatch):
    calls = []

    def full_disk(root, image_size, seed, task):
        calls.append(task)
        if len(calls) == 2:
            raise OSError(28, os.strerror(28))
        (Path(root) / "written.jpg").write_bytes(b"")
        return 2

    monkeypatch.setattr(synthetic, "write_tiles", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_archive(tmp_path, scale=0.003, image_size=8)
    assert list(tmp_path.iterdir()) == []
