"""Generated archives of MLRSNet."""

from collections import Counter

import cv2
import numpy as np
import pytest

from tfds_builders.mlrsnet.check import check_archive
from tfds_builders.mlrsnet.names import CATEGORIES, IMAGES, LABELS
from tfds_builders.mlrsnet.tables import LABEL_COUNTS, LABEL_DAMAGE
from tfds_builders.synthetic import mlrsnet
from tfds_builders.synthetic.labelled_scenes import draw_scene


def test_scale_one_has_the_published_counts_and_the_large_faults():
    scenes = mlrsnet.categories(1.0, 0)
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
    scenes = mlrsnet.categories(scale, 3)
    sizes = Counter({entry.category: len(entry.filenames) for entry in scenes})
    assert min(sizes.values()) >= 1
    assert max(46, round(scale * IMAGES)) <= sizes.total() <= round(scale * IMAGES) + 46
    for entry in scenes:
        counts = entry.corrected_nk.sum(axis=1)
        assert counts.min() >= 1
        assert counts.max() <= 13


def test_files_are_named_and_ended_as_the_real_ones(tmp_path):
    mlrsnet.write_archive(tmp_path, scale=1e-9, image_size=16)
    root = tmp_path / "MLRSNet"
    assert (root / "Images" / "forest" / "forest_01000.jpg").is_file()
    assert b"\r\n" in (root / "labels" / "park.csv").read_bytes()
    assert b"\r\n" not in (root / "labels_corrected" / "park.csv").read_bytes()
    assert any(line.startswith("corrected labels, stadium") for line in check_archive(tmp_path).damage)


def contrast(labels: list[str], seed: int) -> float:
    """Return how far colours of a scene spread, its grain left out."""
    drawn = draw_scene(labels, 64, np.random.default_rng(seed)).astype(float)
    return cv2.GaussianBlur(drawn, (0, 0), 1.0).std(axis=(0, 1)).max()


def test_every_label_can_be_seen():
    for label in LABELS:
        assert np.mean([contrast([label], seed) > 1.5 * contrast([], seed) for seed in range(8)]) >= 0.75, label
