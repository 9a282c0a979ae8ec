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


def examples(changed, size=32):
    n = len(changed)
    return {
        "thumb_t1": np.zeros((n, size, size, 3), np.uint8),
        "thumb_t2": np.full((n, size, size, 3), 200, np.uint8),
        "changed": np.array(changed, bool),
        "label_t1": np.zeros(n, np.int32),
        "label_t2": np.array(changed, np.int32),
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


def test_pairs_have_their_land_use_and_truth():
    pairs = sheets.example_pairs(examples([True, False]))
    assert [(pair.label, pair.changed) for pair in pairs] == [("RL → WB", True), ("RL → RL", False)]
    (unknown,) = sheets.example_pairs(examples([True]) | {"label_t1": np.array([-1])})
    assert unknown.label == ""


def test_an_opinion_is_right_where_it_says_what_is_true():
    pairs = sheets.example_pairs(examples([True, True, False, False]))
    said = sheets.opinion("m", pairs, np.array([True, False, True, False]), np.array([0.9, np.nan, 0.8, 0.1]))
    assert said.right == (True, False, False, True)
    assert said.called == (True, False, True, False)
    assert said.distance == (0.9, None, 0.8, 0.1)


def test_sheets_are_png_files_with_every_image():
    classes = sheets.scene_classes([sheet_of(0, [0, 1, 2, 2])])
    with Image.open(io.BytesIO(sheets.scene_sheet(classes))) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image)
    for value in (0, 20, 40):
        assert (pixels == value).all(axis=-1).sum() >= sheets.THUMB**2
    pairs = sheets.example_pairs(examples([True, False]))
    said = sheets.opinion("CFSM", pairs, np.array([True, True]), np.array([0.5, 0.6]))
    with Image.open(io.BytesIO(sheets.verdict_sheet(sheets.Grid("g", pairs, (said, said))))) as image:
        pixels = np.asarray(image)
    assert (pixels == 200).all(axis=-1).sum() >= 2 * sheets.THUMB**2
    assert sheets.verdict_sheet(sheets.Grid("empty", (), ()))


def test_a_search_shows_the_query_and_its_hits_and_which_are_wrong():
    query = sheets.Seen(np.full((96, 96, 3), 10, np.uint8), "forest.png")
    hits = [
        sheets.Seen(np.full((96, 96, 3), 20 + place, np.uint8), caption, 0.125 * place, relevant)
        for place, (caption, relevant) in enumerate(
            [("Forest", True), ("Land principally occupied by agriculture; Mixed forest; Coastal lagoons", False)]
        )
    ]

    def pixels(*searches):
        with Image.open(io.BytesIO(sheets.search_sheet(searches))) as image:
            assert image.format == "PNG"
            return np.asarray(image)

    whole = pixels(sheets.Search(query, tuple(hits)), sheets.Search(query, ()))
    for value, times in ((10, 2), (20, 1), (21, 1)):
        assert (whole == value).all(axis=-1).sum() >= times * sheets.THUMB**2
    left = (whole == 21).all(axis=-1).any(0).argmax()
    right = left + sheets.THUMB
    assert (whole[:, right + 2 :] == 255).all(), "long captions are cut at the width of their photograph"
    reddish = (whole[..., 0].astype(int) - whole[..., 2] > 100).any(0)
    assert reddish[left:right].any()
    assert not reddish[:left].any()
    assert sheets.search_sheet([])


def test_thumbnails_are_data_uris_of_at_most_the_size_of_a_thumbnail():
    for size, expected in ((40, 40), (300, sheets.THUMB)):
        uri = sheets.data_uri(np.full((size, size, 3), 90, np.uint8))
        assert uri.startswith("data:image/jpeg;base64,")
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            assert image.size == (expected, expected)
            assert abs(np.asarray(image).astype(int) - 90).max() <= 2
