"""What is wrong with a whole archive is told apart from one bad file, which --skip-bad may leave out."""

import os
import shutil
from pathlib import Path

import pytest
from archive_files import image_bytes, write

from tfds_builders import ArchiveError, build, check_archive
from tfds_builders.reading.problems import alike


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """An archive of ten tiles a city."""
    return write(tmp_path_factory.mktemp("archive"), 10)


@pytest.mark.parametrize(
    ("problems", "expected"),
    [
        ([f"{i}.png: PNG with {i % 2 + 10} bits a channel" for i in range(10)], True),
        ([f"{i}.png: PNG with 16 bits a channel" for i in range(9)], False),
        ([*(f"{i}.png: empty file" for i in range(30)), "30.png: truncated PNG"], False),
    ],
)
def test_ten_problems_of_one_reason_are_alike(problems, expected):
    assert alike(problems) is expected


@pytest.mark.parametrize(
    ("convert", "said"),
    [
        (lambda data: b"<html></html>", r"not an image .*, but a web page; 100 files fail alike"),
        (lambda data: data[:200], r"truncated JPEG .*; 100 files fail alike"),
        (lambda data: image_bytes(0, size=8 + len(data) % 7), r"archive: images of many sizes \(.*make them of one"),
    ],
)
def test_a_convention_is_no_bad_file(tmp_path, archive, convert, said):
    root = shutil.copytree(archive, tmp_path / "archive")
    for path in root.rglob("*.jpg"):
        path.write_bytes(convert(path.read_bytes()))
    for skip_bad in (False, True):
        with pytest.raises(ArchiveError, match=said) as caught:
            build("mtsccd_lusc", archive=root, data_dir=tmp_path / "data", workers=1, skip_bad=skip_bad)
        assert "--skip-bad" not in str(caught.value)


def test_a_convention_of_one_split_is_no_bad_file(tmp_path, archive):
    root = shutil.copytree(archive, tmp_path / "archive")
    for path in root.rglob("HF_*.jpg"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ArchiveError, match=r"HF_.*: a damaged or truncated JPEG .*; 20 files fail alike: "):
        build("mtsccd_lusc", archive=root, data_dir=tmp_path / "data", workers=1)


def test_one_city_of_another_convention_is_no_bad_file(tmp_path, archive):
    root = shutil.copytree(archive, tmp_path / "archive")
    for tile in range(120):
        (root / f"SZ_201501_{tile}_0_1.jpg").touch()
    with pytest.raises(ArchiveError, match=r"unknown city 'SZ'.* \(and 119 more\); the first 100 fail alike") as caught:
        build("mtsccd_lusc", archive=root, data_dir=tmp_path / "data", workers=1)
    assert "skip-bad" not in str(caught.value)


def test_class_numbers_from_zero_are_never_built(tmp_path, archive):
    root = shutil.copytree(archive, tmp_path / "archive")
    for path in sorted(root.rglob("*.jpg")):
        stem, _, number = path.stem.rpartition("_")
        path.rename(path.with_name(f"{stem}_{int(number) - 1}.jpg"))
    for skip_bad in (False, True):
        with pytest.raises(ArchiveError, match=r"count the classes from 0 .* add 1 to the class") as caught:
            build("mtsccd_lusc", archive=root, data_dir=tmp_path / "data", workers=1, skip_bad=skip_bad)
        assert "--skip-bad" not in str(caught.value)
    assert any("count the classes from 0" in line for line in check_archive(root).problems)


def test_a_data_folder_that_is_not_utf_8_is_refused(tmp_path, archive):
    data_dir = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    with pytest.raises(ArchiveError, match=r"not a path in UTF-8.*; give another data folder"):
        build("mtsccd_lusc", archive=archive, data_dir=data_dir)
    assert not data_dir.exists()
