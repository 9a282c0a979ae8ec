"""The page on scene classification: sheets of scenes, tables and sentences."""

import dataclasses
import io

import numpy as np
import pytest
from made_up_rows import change_row
from made_up_runs import make_workdir
from PIL import Image
from reports import runs_of, sentence, writer_of
from sklearn.metrics import precision_recall_fscore_support

from mtsccd_jax.report import results
from mtsccd_jax.report.pictures import photos
from mtsccd_jax.report.tables import csv_text
from mtsccd_jax.tasks.scenes.report import REPORT, class_table, scene_classes, scene_section, scene_sheet, scene_table


def sheet_of(city, labels, size=32):
    return {
        "thumb": np.stack([np.full((size, size, 3), 20 * label, np.uint8) for label in labels]),
        "label": np.array(labels),
        "city": np.full(len(labels), city),
        "phase": np.array([1 + i % 2 for i in range(len(labels))]),
        "class_names": np.array(["residential_land", "water_body", "bare_land"]),
        "city_names": np.array(["hefei", "new_york"]),
    }


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    """A scene row at the paper's counts."""
    (made,) = make_workdir(tmp_path_factory.mktemp("scenes"), splits=("test_a",), protocols=())
    return made


def test_scenes_of_several_cities_are_gathered_by_class_in_the_order_of_the_classes():
    classes = scene_classes([sheet_of(0, [2, 2, 0]), sheet_of(1, [0, 2])])
    assert [(c.name, c.short) for c in classes] == [("Residential land", "RL"), ("Bare land", "BL")]
    assert [s.caption for s in classes[0].scenes] == ["Hefei T1", "New York T1"]
    assert [s.caption for s in classes[1].scenes] == ["Hefei T1", "Hefei T2", "New York T2"]
    assert all((s.image == 40).all() for s in classes[1].scenes)
    ((unknown,),) = (
        c.scenes for c in scene_classes([sheet_of(0, [1]) | {"city_names": np.array([""]), "phase": np.array([0])}])
    )
    assert unknown.caption == ""
    assert scene_classes([]) == []


def test_the_sheet_is_a_png_with_every_scene():
    with Image.open(io.BytesIO(scene_sheet(scene_classes([sheet_of(0, [0, 1, 2, 2])])))) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image)
    for value in (0, 20, 40):
        assert (pixels == value).all(axis=-1).sum() >= photos.THUMB**2


@pytest.mark.parametrize(
    ("interval", "trivial", "expected"),
    [
        ((0.5, 0.7), 0.3, "would score 30.0\u202f%."),
        ((0.5, 0.7), 0.55, "which the interval contains"),
        ((0.5, 0.7), 0.9, "worse than that"),
    ],
)
def test_sentences_stand_beside_the_most_frequent_class(interval, trivial, expected):
    oa = dict(zip(("value", "low", "high"), (0.6, *interval), strict=True))
    fields = {"protocol": "scene", "split": "test_b", "dataset": "mtsccd_lusc/official", "metrics": {"oa": oa}}
    said = sentence(change_row(trivial=trivial, threshold=None, **fields))
    assert "On Nanjing (test B) the land use of 60.0\u202f% of 100 scenes is named correctly" in said
    assert expected in said


def test_repetitions_get_a_line_of_mean_and_deviation(row):
    rows_of_seeds = [
        dataclasses.replace(row, id=str(seed), seed=seed, metrics={"oa": {"value": oa, "low": None, "high": None}})
        for seed, oa in enumerate((0.5, 0.6, 0.7))
    ]
    table = scene_table(runs_of(rows_of_seeds[::-1]))
    assert table.summaries == {3}
    assert [line[2].text for line in table.rows] == ["0.500", "0.600", "0.700", "0.600"]
    assert table.rows[3][0].notes[0] == "mean of 3 runs"
    assert table.rows[3][2].notes == ("± 0.100",)
    assert [r["seed"] for r in table.records] == [0, 1, 2]


def test_a_difference_is_only_given_at_the_papers_counts(row):
    for n, expected in ((row.n, f"{row.metrics['oa']['value'] - 0.7196:+.3f}".replace("-", "−")), (10, "–")):
        table = scene_table(runs_of([dataclasses.replace(row, n=n)]))
        assert table.rows[0][[title for title, _ in table.columns].index("Difference")].text == expected


def test_classes_have_the_precision_and_recall_of_scikit_learn_and_confusions_full_names(row):
    truth, predicted = np.repeat(np.indices((10, 10)).reshape(2, -1), np.ravel(row.confusion), axis=1)
    expected = precision_recall_fscore_support(truth, predicted, zero_division=0)
    records = class_table(row).records
    for values, name in zip(expected, ("precision", "recall", "f1", "n"), strict=True):
        np.testing.assert_allclose([record[name] for record in records], values)
    lines = csv_text(results.confusion_table(row, "Scenes")).splitlines()
    assert lines[0].split(",") == ["truth", *row.class_names]
    assert [[int(value) for value in line.split(",")[1:]] for line in lines[1:]] == row.confusion


def test_recipes_of_one_network_have_labels_of_their_own(tmp_path):
    made = []
    for name in ("one", "two"):
        settings = {"name": name, "model": "resnet18", "width": 0.25, "share": 0.02}
        made += make_workdir(tmp_path / "runs" / name, protocols=(), **settings)
    writer, runs = writer_of(tmp_path / "runs", tmp_path / "out"), runs_of(made)
    drawn = results.overview(writer, runs, REPORT.protocols, "scene")
    (section,) = scene_section(writer, runs)
    titles = [figure.title for figure in section.blocks[2].content[0].blocks[0].content]
    assert titles == [f"resnet18 x0.25, {name}, seed 0" for name in ("one", "two")]
    for name in ("one", "two"):
        assert f"Hefei, resnet18 x0.25, {name}" in drawn[0].svg
