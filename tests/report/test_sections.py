"""The curves behind a figure are those of the metrics at every threshold."""

import dataclasses

import numpy as np
import pytest
from made_up_runs import make_workdir
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from mtsccd_jax.report import drawing, rows, sections, transitions, words
from mtsccd_jax.report.folder import Folder


def test_curves_are_scikit_learns_metrics_at_every_threshold():
    random = np.random.default_rng(0)
    distance = np.round(random.gamma(3.0, 0.2, 120), 2).astype(np.float32)
    changed = random.random(120) < 0.3
    curve = sections.curve(distance, changed)
    np.testing.assert_array_equal(curve.threshold, np.unique(distance)[::-1])
    for i, threshold in enumerate(curve.threshold):
        called = distance >= threshold
        np.testing.assert_allclose(curve.oa[i], accuracy_score(changed, called))
        np.testing.assert_allclose(curve.kappa[i], cohen_kappa_score(changed, called), atol=1e-12)
        np.testing.assert_allclose(curve.f1[i], f1_score(changed, called))


def test_long_curves_are_thinned_with_their_ends():
    distance = np.random.default_rng(1).permutation(5000) / 5000
    curve = sections.curve(distance, distance > 0.8)
    assert len(curve.threshold) == drawing.MAX_POINTS
    assert (curve.threshold[0], curve.threshold[-1]) == (distance.max(), distance.min())


@pytest.fixture
def judged(tmp_path):
    """CDC_1 and CDC_2 rows of one network: (rows, the folder of their report)."""
    made = make_workdir(tmp_path / "run", share=0.02, protocols=("cdc_1", "cdc_2"), scenes=False)
    return made, Folder(tmp_path / "out", {row.id: tmp_path / "run" for row in made})


def test_transitions_are_drawn_only_between_the_classes_of_the_labels(judged):
    made, folder = judged
    details = transitions.details(folder, words.group_runs(made))
    assert (details[0].title, len(details[0].figures)) == ("Transitions, the paper's Table 5", 1)
    titles = [[drawn.title for drawn in detail.figures] for detail in details[1:]]
    methods = ("CDC_1", "CDC_2")
    assert titles == [["True transitions", *(f"Predicted by {m}, ResNet101, seed 0" for m in methods)]] * 2
    # A row whose classes are other ones: more of them, and no metric.
    first = made[0]
    arrays = rows.load_artefact(folder.workdir_of[first.id], first, "predictions")
    arrays["prediction_t2"] = arrays["prediction_t2"] + 20
    path, checksum = rows.save_artefact(folder.workdir_of[first.id], "other", arrays)
    other = dataclasses.replace(
        first,
        metrics={name: entry for name, entry in first.metrics.items() if name != "transition"},
        artefacts=first.artefacts | {"predictions": path},
        checksums={"artefacts": first.checksums["artefacts"] | {"predictions": checksum}},
    )
    found = transitions.details(folder, words.group_runs([other, *made[1:]]))[1:]
    shown = {detail.title.partition(",")[0] + detail.figures[0].title: len(detail.figures) for detail in found}
    assert sorted(len(detail.figures) for detail in found) == [2, 3], shown
    assert transitions.details(folder, words.group_runs([other])) == []


def test_classes_without_names_are_counted_over_both_dates(judged):
    made, folder = judged
    arrays = {name: np.zeros(3, np.int32) for name in ("label_t1", "label_t2", "prediction_t1", "prediction_t2")}
    arrays["prediction_t2"][1] = 4
    bare = dataclasses.replace(made[0], artefacts={})
    assert transitions._class_names(folder, [(bare, arrays)]) == [f"class {i}" for i in range(5)]


def test_recipes_of_one_network_have_labels_of_their_own(tmp_path):
    made = []
    for name in ("one", "two"):
        made += make_workdir(tmp_path / name, name=name, model="resnet18", width=0.25, share=0.02, protocols=())
    folder = Folder(tmp_path / "out", {row.id: tmp_path for row in made})
    assert [sections.who(row, made) for row in made[::2]] == [
        "resnet18 x0.25, one, seed 0",
        "resnet18 x0.25, two, seed 0",
    ]
    drawn = sections.overview(folder, words.group_runs(made), "scene")
    assert "Hefei, resnet18 x0.25, one" in drawn[0].svg
    assert "Hefei, resnet18 x0.25, two" in drawn[0].svg
