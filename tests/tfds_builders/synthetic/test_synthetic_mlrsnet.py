"""Generated archives of MLRSNet."""

from collections import Counter

import cv2
import numpy as np
import pytest

from tfds_builders import ArchiveError, build
from tfds_builders.mlrsnet.check import check_archive
from tfds_builders.mlrsnet.names import CATEGORIES, IMAGES, LABELS
from tfds_builders.mlrsnet.tables import LABEL_COUNTS, LABEL_DAMAGE
from tfds_builders.synthetic import mlrsnet
from tfds_builders.synthetic.labelled_scenes import LOOKS, draw_scene
from tfds_builders.synthetic.mlrsnet import write_archive


def test_scale_one_has_the_published_counts_and_the_large_faults():
    scenes = mlrsnet.plan(1.0, 0)
    assert {entry.category: len(entry.filenames) for entry in scenes} == CATEGORIES
    corrected = sum(entry.corrected_nk.sum(axis=0, dtype=int) for entry in scenes)
    assert dict(zip(LABELS, corrected.tolist(), strict=True)) == {name: pair[1] for name, pair in LABEL_COUNTS.items()}
    labels_of_image = np.concatenate([entry.corrected_nk.sum(axis=1) for entry in scenes])
    assert labels_of_image.max() <= 13
    assert (labels_of_image == 0).sum() == 10
    by_category = {entry.category: entry for entry in scenes}
    for category in ("parkway", "intersection"):
        assert (by_category[category].official_nk.sum(axis=1) > 13).sum() == LABEL_DAMAGE["official"][category][1]
    assert by_category["stadium"].official_nk[:, LABELS.index("stadium")].sum() == 0
    assert by_category["storage_tank"].official_nk[:, LABELS.index("tanks")].sum() == 0
    faulty = {"parkway", "intersection", "stadium", "storage_tank"}
    assert {entry.category for entry in scenes if (entry.official_nk != entry.corrected_nk).any()} == faulty


@pytest.mark.parametrize("scale", [1e-9, 0.0005, 0.002, 0.03])
def test_any_scale_has_every_category_and_1_to_13_labels(scale):
    scenes = mlrsnet.plan(scale, 3)
    sizes = Counter({entry.category: len(entry.filenames) for entry in scenes})
    assert min(sizes.values()) >= 1
    assert max(46, round(scale * IMAGES)) <= sizes.total() <= round(scale * IMAGES) + 46
    for entry in scenes:
        counts = entry.corrected_nk.sum(axis=1)
        assert counts.min() >= 1
        assert counts.max() <= 13


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    seen: list[tuple[int, int]] = []
    images = write_archive(
        folder, scale=0.002, image_size=16, workers=1, progress=lambda done, total: seen.append((done, total))
    )
    assert images == 218
    assert seen[-1] == (218, 218)
    return folder


def test_what_is_written_is_an_archive_without_problems(archive):
    report = check_archive(archive)
    assert (report.images, report.problems) == (218, [])
    assert len(list(archive.rglob("*.jpg"))) == 218
    assert (archive / "MLRSNet" / "GENERATED.md").is_file()
    assert (archive / "MLRSNet" / "Images" / "forest" / "forest_01000.jpg").is_file()
    assert b"\r\n" in (archive / "MLRSNet" / "labels" / "park.csv").read_bytes()
    assert any(line.startswith("corrected labels, stadium") for line in report.damage)


def test_it_builds_with_no_empty_split(archive, tmp_path):
    import tensorflow_datasets as tfds

    for config in ("official", "corrected_20_10_70"):
        result = build("mlrsnet", archive=archive, data_dir=tmp_path, config=config, workers=1)
        assert sum(result.splits.values()) == 218
        assert min(result.splits.values()) > 0
    assert tfds.builder("mlrsnet", data_dir=tmp_path).info.metadata["generated"] is True


def test_the_same_arguments_give_the_same_bytes_whoever_draws(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(mlrsnet, "_FEWEST_FOR_PROCESSES", 1)
    write_archive(tmp_path / "again", scale=0.002, image_size=16, workers=2)
    write_archive(tmp_path / "other", scale=0.002, image_size=16, workers=1, seed=1)
    for path in sorted(archive.rglob("*.*")):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(archive)).read_bytes() == path.read_bytes()
    name = "MLRSNet/Images/park/park_00969.jpg"
    assert (tmp_path / "other" / name).read_bytes() != (archive / name).read_bytes()


def contrast(labels: list[str], seed: int) -> float:
    """Return how far colours of a scene spread, its grain left out."""
    drawn = draw_scene(labels, 64, np.random.default_rng(seed)).astype(float)
    return cv2.GaussianBlur(drawn, (0, 0), 1.0).std(axis=(0, 1)).max()


def test_every_label_can_be_seen():
    assert set(LOOKS) == set(LABELS)
    for label in LABELS:
        assert np.mean([contrast([label], seed) > 1.5 * contrast([], seed) for seed in range(8)]) >= 0.75, label


def test_wrong_arguments_are_refused(tmp_path):
    for arguments, reason in (
        ({"scale": 0.0}, "scale 0: give a number above 0"),
        ({"scale": 1.5}, "scale 1.5"),
        ({"image_size": 8}, "image size 8: give 16 pixels or more"),
        ({"seed": -1}, "seed -1"),
        ({"workers": 0}, "0 workers"),
    ):
        with pytest.raises(ArchiveError, match=reason):
            write_archive(tmp_path, **arguments)
    (tmp_path / "MLRSNet").mkdir()
    with pytest.raises(ArchiveError, match="exists already"):
        write_archive(tmp_path)
    assert not list((tmp_path / "MLRSNet").iterdir())
