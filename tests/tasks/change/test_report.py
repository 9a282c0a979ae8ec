"""The page on change detection: curves, transitions, example pairs, tables and sentences."""

import dataclasses
import io

import numpy as np
import pytest
from made_up_rows import change_row
from made_up_runs import make_workdir
from PIL import Image
from reports import runs_of, sentence, writer_of
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from mtsccd_jax.report import published, rows, text
from mtsccd_jax.report.pictures import chart_style, photos
from mtsccd_jax.report.tables import markdown_text
from mtsccd_jax.tasks.change.charts import curve
from mtsccd_jax.tasks.change.examples import Grid, decisions, example_pairs, example_sheet
from mtsccd_jax.tasks.change.report import change_table, distance_label
from mtsccd_jax.tasks.change.transitions import class_names, transition_folds


def test_curves_are_scikit_learns_metrics_at_every_threshold():
    random = np.random.default_rng(0)
    distance = np.round(random.gamma(3.0, 0.2, 120), 2).astype(np.float32)
    changed = random.random(120) < 0.3
    found = curve(distance, changed)
    np.testing.assert_array_equal(found.threshold, np.unique(distance)[::-1])
    for i, threshold in enumerate(found.threshold):
        predicted = distance >= threshold
        np.testing.assert_allclose(found.oa[i], accuracy_score(changed, predicted))
        np.testing.assert_allclose(found.kappa[i], cohen_kappa_score(changed, predicted), atol=1e-12)
        np.testing.assert_allclose(found.f1[i], f1_score(changed, predicted))


def test_long_curves_are_thinned_with_their_ends():
    distance = np.random.default_rng(1).permutation(5000) / 5000
    found = curve(distance, distance > 0.8)
    assert len(found.threshold) == chart_style.MAX_POINTS
    assert (found.threshold[0], found.threshold[-1]) == (distance.max(), distance.min())


@pytest.fixture
def made(tmp_path):
    """CDC_1 and CDC_2 rows of one network: (rows, writer of their report)."""
    rows_made = make_workdir(tmp_path / "runs" / "run", share=0.02, protocols=("cdc_1", "cdc_2"), scenes=False)
    return rows_made, writer_of(tmp_path / "runs", tmp_path / "out")


def test_transitions_are_drawn_only_between_the_classes_of_the_labels(made):
    members, writer = made
    folds = transition_folds(writer, runs_of(members))
    titles = [[figure.title for figure in fold.blocks[0].content] for fold in folds]
    assert (folds[0].title, len(titles[0])) == ("Transitions, the paper's Table 5", 1)
    predicted = [f"Predicted by {method}, ResNet101, seed 0" for method in ("CDC_1", "CDC_2")]
    assert titles[1:] == [["True transitions", *predicted]] * 2
    # A row whose classes are other ones: more of them, and no metric.
    first = members[0]
    arrays = rows.load_artefact(writer.workdir_of[first.id], first, "predictions")
    arrays["prediction_t2"] = arrays["prediction_t2"] + 20
    path, checksum = rows.save_artefact(writer.workdir_of[first.id], "other", arrays)
    other = dataclasses.replace(
        first,
        metrics={name: entry for name, entry in first.metrics.items() if name != "transition"},
        artefacts=first.artefacts | {"predictions": path},
        checksums={"artefacts": first.checksums["artefacts"] | {"predictions": checksum}},
    )
    found = transition_folds(writer, runs_of([other, *members[1:]]))[1:]
    assert sorted(fold.charts for fold in found) == [2, 3]
    assert transition_folds(writer, runs_of([other])) == []


def test_classes_without_names_are_counted_over_both_dates(made):
    members, writer = made
    arrays = {name: np.zeros(3, np.int32) for name in ("label_t1", "label_t2", "prediction_t1", "prediction_t2")}
    arrays["prediction_t2"][1] = 4
    bare = dataclasses.replace(members[0], artefacts={})
    assert class_names(writer, [(bare, arrays)]) == [f"class {i}" for i in range(5)]


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


def test_pairs_have_their_land_use_and_truth():
    pairs = example_pairs(examples([True, False]))
    assert [(pair.label, pair.changed) for pair in pairs] == [("RL → WB", True), ("RL → RL", False)]
    (unknown,) = example_pairs(examples([True]) | {"label_t1": np.array([-1])})
    assert unknown.label == ""


def test_a_decision_is_right_where_it_is_the_truth():
    pairs = example_pairs(examples([True, True, False, False]))
    made = decisions(pairs, np.array([True, False, True, False]), np.array([0.9, np.nan, 0.8, 0.1]))
    assert [decision.right for decision in made] == [True, False, False, True]
    assert [decision.predicted for decision in made] == [True, False, True, False]
    assert [decision.distance for decision in made] == [0.9, None, 0.8, 0.1]


def test_the_sheet_of_pairs_is_a_png_with_every_pair():
    pairs = example_pairs(examples([True, False]))
    method = "CFSM", decisions(pairs, np.array([True, True]), np.array([0.5, 0.6]))
    with Image.open(io.BytesIO(example_sheet(Grid("g", pairs, (method, method))))) as image:
        pixels = np.asarray(image)
    assert (pixels == 200).all(axis=-1).sum() >= 2 * photos.THUMB**2
    assert example_sheet(Grid("empty", (), ()))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "CFSM on Hefei (test A): kappa 0.300 (95\u202f% interval 0.200 to 0.400)"),
        ({}, "predicts 11 of 100 pairs changed and finds 8 of the 20 that are"),
        ({}, "overall accuracy, 0.850, is above that of never saying “changed” (0.800)"),
        ({"oa": (0.6, 0.5, 0.7)}, "below that of never saying “changed” (0.800): the trivial answer wins"),
        ({"oa": (0.82, 0.79, 0.85)}, "not distinguishable from that of never saying"),
        # 60 of 100 pairs changed, also in a row that names "all unchanged" as the trivial answer.
        (
            {"oa": (0.578, 0.5, 0.59), "confusion": [[20, 20], [22, 38]], "trivial": 0.4},
            "0.578, is below that of always saying “changed” (0.600): the trivial answer wins",
        ),
        ({"kappa": (0.05, -0.02, 0.12)}, "contains 0: it may be no better than chance"),
        ({"kappa": (-0.2, -0.3, -0.1)}, "worse than chance"),
        ({"confusion": [[80, 0], [20, 0]]}, "no pair is predicted changed, so all 20"),
        (
            {"confusion": [[80, 0], [20, 0]], "threshold": None},
            "no threshold did better on validation than predicting no change, so all 20 changed pairs of 100 are",
        ),
    ],
)
def test_sentences_say_how_the_method_stands_to_chance_and_to_the_trivial_answer(fields, expected):
    said = sentence(change_row(**fields))
    assert expected in said
    assert ("chance" in said) == ("kappa" in fields)


def test_distances_are_labelled_as_the_recipe_measures_them():
    assert distance_label(change_row()) == "Euclidean distance of unit-length features (no unit)"
    assert distance_label(change_row(recipe={})) == "distance of features (no unit)"


def test_records_hold_every_value_of_the_rows(made):
    members, _ = made
    records = {(r["protocol"], r["split"]): r for r in change_table(runs_of(members)).records}
    assert len(records) == len(members) == 4
    for row in members:
        record = records[row.protocol, row.split]
        assert record["kappa"] == row.metrics["kappa"]["value"]
        assert record["oa_high"] == row.metrics["oa"]["high"]
        assert record["baseline_oa"] == row.baseline["oa"]
        assert record["published_oa"] == (row.published or {}).get("oa")


@pytest.fixture(scope="module")
def cfsm(tmp_path_factory):
    """A CFSM row at the paper's counts."""
    return make_workdir(tmp_path_factory.mktemp("cfsm"), protocols=("cfsm",), scenes=False)[0]


def line_of(row):
    """(The row's cells by title, the table)."""
    table = change_table(runs_of([row]))
    assert all(len(line) == len(table.columns) for line in table.rows)
    return dict(zip([title for title, _ in table.columns], table.rows[0], strict=True)), table


def test_both_intervals_and_the_papers_value_stand_with_the_value(cfsm):
    line, table = line_of(cfsm)
    assert line["Method and test set"].text == "CFSM, Hefei"
    ends = [[entries["kappa"][end] for end in ("low", "high")] for entries in (cfsm.metrics, cfsm.metrics_rechosen)]
    assert line["Kappa"].notes == tuple(text.interval(*pair) for pair in ends)
    assert line["Threshold"].notes == ("best kappa", "on validation", "paper 0.285, on its own scale")
    assert (line["Paper's kappa"].text, line["Paper's kappa"].notes) == ("0.452", ("possible",))
    assert line["Pairs"].notes == ("933 changed",)
    assert table.records[0]["kappa_rechosen_low"] == cfsm.metrics_rechosen["kappa"]["low"]


def test_impossible_values_are_marked_and_explained(cfsm):
    value = dataclasses.asdict(published.change("cfsm", "vit_b16", "test_a"))
    line, table = line_of(dataclasses.replace(cfsm, published=value, threshold=None))
    assert (line["Paper's kappa"].notes, line["Paper's kappa"].kind) == (("impossible",), "bad")
    assert line["Threshold"].text == "none"
    assert table.footnotes == (f"Paper, CFSM, ViT, Hefei: {value['reason']}.",)
    assert value["reason"] in markdown_text(table)
