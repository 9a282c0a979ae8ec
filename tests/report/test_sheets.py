"""Photographs come out where and as they belong."""

import base64
import io

import numpy as np
from PIL import Image

from mtsccd_jax.report import sheets


def sheet_of(city, labels, size=32):
    return {
        "thumb": np.stack([np.full((size, size, 3), 20 * label, np.uint8) for label in labels]),
        "label": np.array(labels),
        "city": np.full(len(labels), city),
        "phase": np.array([1 + i % 2 for i in range(len(labels))]),
        "class_names": np.array(["residential_land", "water_body", "bare_land"]),
        "city_names": np.array(["hefei", "new_york"]),
    }


def examples(outcomes, size=32):
    n = len(outcomes)
    return {
        "thumb_t1": np.zeros((n, size, size, 3), np.uint8),
        "thumb_t2": np.full((n, size, size, 3), 200, np.uint8),
        "changed": np.array([changed for changed, _ in outcomes]),
        "predicted": np.array([predicted for _, predicted in outcomes]),
        "label_t1": np.zeros(n, np.int32),
        "label_t2": np.array([1 if changed else 0 for changed, _ in outcomes], np.int32),
        "distance": np.linspace(0.1, 0.9, n),
        "class_names": np.array(["residential_land", "water_body"]),
    }


def test_scenes_of_several_cities_are_gathered_by_class_in_the_order_of_the_classes():
    classes = sheets.scene_classes([sheet_of(0, [2, 2, 0]), sheet_of(1, [0, 2])])
    assert [(c.name, c.short) for c in classes] == [("Residential land", "RL"), ("Bare land", "BL")]
    assert [s.caption for s in classes[0].scenes] == ["Hefei T1", "New York T1"]
    assert [s.caption for s in classes[1].scenes] == ["Hefei T1", "Hefei T2", "New York T2"]
    assert all((s.image == 40).all() for s in classes[1].scenes)


def test_scenes_without_city_or_date_have_no_caption():
    sheet = sheet_of(0, [1]) | {"city_names": np.array([""]), "phase": np.array([0])}
    ((scene,),) = (c.scenes for c in sheets.scene_classes([sheet]))
    assert scene.caption == ""
    assert sheets.scene_classes([]) == []


def test_pairs_are_grouped_by_outcome():
    groups = sheets.pairs_by_outcome(examples([(True, True), (False, True), (True, False), (True, True)]))
    assert {title: len(pairs) for title, pairs in groups.items()} == {
        "Change found": 2,
        "Rightly unchanged": 0,
        "Change missed": 1,
        "False alarm": 1,
    }
    found = groups["Change found"][0]
    assert (found.label, found.right, found.distance) == ("RL → WB", True, 0.1)
    assert not groups["Change missed"][0].right
    assert groups["False alarm"][0].label == "RL → RL"


def test_unknown_labels_and_distances_are_left_out():
    arrays = examples([(True, True)]) | {"label_t1": np.array([-1]), "distance": np.array([np.nan])}
    (pair,) = sheets.pairs_by_outcome(arrays)["Change found"]
    assert pair.label == ""
    assert pair.distance is None


def test_sheets_are_png_files_with_every_image():
    classes = sheets.scene_classes([sheet_of(0, [0, 1, 2, 2])])
    with Image.open(io.BytesIO(sheets.scene_sheet(classes))) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image)
    for value in (0, 20, 40):
        assert (pixels == value).all(axis=-1).sum() >= sheets.THUMB**2
    groups = sheets.pairs_by_outcome(examples([(True, True), (False, False)]))
    with Image.open(io.BytesIO(sheets.pair_sheet(groups))) as image:
        pixels = np.asarray(image)
    assert (pixels == 200).all(axis=-1).sum() >= 2 * sheets.THUMB**2
    assert sheets.pair_sheet(sheets.pairs_by_outcome(examples([])))


def test_thumbnails_are_data_uris_of_at_most_the_size_of_a_thumbnail():
    for size, expected in ((40, 40), (300, sheets.THUMB)):
        uri = sheets.data_uri(np.full((size, size, 3), 90, np.uint8))
        assert uri.startswith("data:image/jpeg;base64,")
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            assert image.size == (expected, expected)
            assert abs(np.asarray(image).astype(int) - 90).max() <= 2
