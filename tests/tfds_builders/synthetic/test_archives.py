"""Laws of every generated archive: its bytes, its arguments, and what a reader makes of it."""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from tfds_builders import ArchiveError, build, synthetic
from tfds_builders.catalog import ARCHIVES
from tfds_builders.synthetic import bigearthnet_v1, bigearthnet_v2, driver, mlrsnet


@dataclass(frozen=True)
class Case:
    """A small archive of one kind: how it is written, its folder and its number of images."""

    kind: str
    write: Callable[..., int]
    folder: str
    images: int
    options: dict = field(default_factory=dict)
    smallest: int | None = None  # image size


CASES = [
    Case("mtsccd", synthetic.write_archive, "MtSCCD", 132, {"scale": 0.002, "image_size": 16}, 8),
    Case("bigearthnet_v1", bigearthnet_v1.write_archive, "BigEarthNet", 19, {"scale": 1e-9}),
    Case("bigearthnet_v2", bigearthnet_v2.write_archive, "BigEarthNet-v2.0", 30, {"scale": 1e-9}),
    Case("mlrsnet", mlrsnet.write_archive, "MLRSNet", 109, {"scale": 0.001, "image_size": 16}, 16),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.kind)
def case(request) -> Case:
    return request.param


@pytest.fixture(scope="module")
def archive(case, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("generated")
    seen: list[tuple[int, int]] = []
    images = case.write(out, workers=1, progress=lambda done, total: seen.append((done, total)), **case.options)
    assert images == case.images
    assert seen[-1] == (images, images)
    assert len(seen) > 1
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    return out


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_what_a_killed_process_left_is_removed(case, tmp_path):
    (tmp_path / f".{case.folder}-abc.unfinished" / "half").mkdir(parents=True)
    (tmp_path / f".{case.folder}-mine").mkdir()
    case.write(tmp_path, workers=1, **case.options)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".{case.folder}-mine", case.folder]


def test_bytes_depend_on_the_seed_and_not_on_the_workers(case, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "FEWEST_FOR_PROCESSES", 0)
    case.write(tmp_path / "two", workers=2, **case.options)
    case.write(tmp_path / "other", workers=1, seed=1, **case.options)
    one, two, other = (files(root) for root in (archive, tmp_path / "two", tmp_path / "other"))
    assert one == two
    pictures, others = ({d for n, d in f.items() if n.endswith((".jpg", ".tif"))} for f in (one, other))
    assert not pictures & others
    assert len(pictures) == sum(name.endswith((".jpg", ".tif")) for name in one)


def test_a_generated_archive_is_sound_and_says_what_it_is(case, archive):
    assert [entry.name for entry in archive.iterdir()] == [case.folder]
    mark = (archive / case.folder / "GENERATED.md").read_text()
    kind = ARCHIVES[case.kind]
    assert mark.startswith(f"These {kind.unit} are drawn by a program.")
    assert f"the data set {kind.title}," in mark
    seen: list[tuple[int, int]] = []
    check = importlib.import_module(f"tfds_builders.{case.kind}.check")
    report = check.check_archive(archive, progress=lambda done, total: seen.append((done, total)))
    assert (report.images, report.problems) == (case.images, [])
    assert seen[-1][0] == seen[-1][1] >= case.images


def test_it_builds_with_no_empty_split(case, archive, tmp_path):
    for data_set in ARCHIVES[case.kind].data_sets:
        result = build(data_set, archive=archive, data_dir=tmp_path, workers=1)
        assert min(result.splits.values()) > 0
        assert (result.skipped, result.absent) == ([], 0)
        assert tfds.builder(data_set, data_dir=tmp_path).info.metadata["generated"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, "scale 0: give a number above 0 and at most 1 .1 is all "),
        ({"scale": 1.01}, "scale 1.01: give a number above 0"),
        ({"scale": float("nan")}, "scale nan: give a number above 0"),
        ({"image_size": 7}, "image size 7: give [0-9]+ pixels or more"),
        ({"seed": -1}, "seed -1: give 0 or more"),
        ({"workers": 0}, "0 workers: give 1 or more"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(case, tmp_path, arguments, message):
    if "image_size" in arguments and case.smallest is None:
        pytest.skip("its patches have one size")
    with pytest.raises(ArchiveError, match=message):
        case.write(tmp_path, **case.options | arguments)
    assert not list(tmp_path.iterdir())


def test_an_archive_is_never_written_over(case, tmp_path):
    (tmp_path / case.folder).mkdir()
    with pytest.raises(ArchiveError, match="exists already; remove it or give another folder"):
        case.write(tmp_path, **case.options)
    assert list((tmp_path / case.folder).iterdir()) == []


def test_nothing_is_left_of_an_archive_that_failed(tmp_path):
    def full_disk(root, items):
        (root / f"{items[0]}.jpg").write_bytes(b"")
        if 3 in items:
            raise OSError(28, os.strerror(28))

    plan = driver.Plan(ARCHIVES["mlrsnet"], "Archive", range(8), 2, lambda root: None, full_disk)
    with pytest.raises(OSError, match="No space left"):
        driver.write_planned(tmp_path, lambda: plan, seed=0, workers=1, progress=None)
    assert list(tmp_path.iterdir()) == []
