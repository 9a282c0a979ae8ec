"""The page on several labels an image: tables, charts, differences, examples and sentences hold what the rows hold."""

import dataclasses

import numpy as np
import pytest
from made_up_labels import LABELS, LabelMaker
from reports import runs_of, sentence, writer_of
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from mtsccd_jax.ops.multilabel_bootstrap import paired_differences
from mtsccd_jax.report import rows, text
from mtsccd_jax.report.published import labels
from mtsccd_jax.report.runs import recipe_name
from mtsccd_jax.tasks.labels.differences import METRICS, Resampled, label_contests, label_tables
from mtsccd_jax.tasks.labels.examples import label_examples, label_sheet
from mtsccd_jax.tasks.labels.report import is_comparable, label_folds, label_section, orientation_note, short_names
from mtsccd_jax.tasks.labels.tables import by_label, label_table, labels_of_row_table, published_tables


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Rows of two networks on S1+S2, one of them twice and on S1 alone too. (root, rows). Not to be written to."""
    root = tmp_path_factory.mktemp("labels")
    for seed in (0, 1):
        LabelMaker(root / f"all{seed}", seed=seed).multilabel()
    s1 = {"name": "reben_resnet50_s1", "bands": ("s1",), "dataset": "bigearthnet_v2/s1", "skill": 0.6}
    LabelMaker(root / "s1", **s1).multilabel()
    LabelMaker(root / "vit", name="reben_vit", model="vit_base_patch8", threshold="validation").multilabel()
    return root, [row for path in sorted(root.iterdir()) for row in rows.load(path)]


@pytest.fixture
def writer(made, tmp_path):
    return writer_of(made[0], tmp_path)


def test_every_row_has_its_line_with_its_values(made):
    table = label_table(runs_of(made[1]))
    assert {record["id"] for record in table.records} == {row.id for row in made[1]}
    assert len(table.rows) == len(made[1]) + len(table.summaries) == 5
    assert all(len(line) == len(table.columns) for line in table.rows)
    by_id = {row.id: row for row in made[1]}
    for record in table.records:
        row = by_id[record["id"]]
        assert record["ap_macro_low"] == row.metrics["ap_macro"]["low"]
        assert record["baseline_f1_micro"] == row.baseline["f1_micro"]
        assert record["published_ap_macro"] == row.published["metrics"]["ap_macro"]
    place = [title for title, _ in table.columns].index("Trivial AP macro") - 1
    cells = {line[0].notes[1]: line[place] for line in table.rows if len(line[0].notes) > 2}
    assert (cells["reben_vit"].text, cells["reben_vit"].notes) == ("each its own", ("best f1", "on validation"))
    assert cells["reben_resnet50_s1"].text == "0.5"


def test_published_values_stand_beside_ours(made):
    ((source, table),) = published_tables(runs_of(made[1]))
    assert source is labels.REBEN
    assert [r["published_ap_macro"] for r in table.records] == [e.metrics["ap_macro"] for e in source.entries]
    assert table.footnotes == source.caveats
    with_row = {(r["network"], r["published_run"]): r for r in table.records if r["recipe"]}
    assert set(with_row) == {("ResNet-50", "S1+S2"), ("ResNet-50", "S1"), ("ViT-B/8-224", "S1+S2")}
    both = [row for row in made[1] if recipe_name(row) == "reben_resnet50_all"]
    mean = np.mean([row.metrics["f1_micro"]["value"] for row in both])
    record = with_row["ResNet-50", "S1+S2"]
    assert (record["test_f1_micro"], record["test_seeds"]) == (pytest.approx(mean), 2)
    card = next(r for r in table.records if r["network"] == "MobileViT-S")
    assert card["published_precision_macro"] is None
    assert card["test_ap_macro"] is None


def test_a_network_that_nobody_published_gets_a_line_of_its_own(made):
    row = dataclasses.replace(made[1][0], model="resnet18", published=None, id="x")
    ((_, table),) = published_tables(runs_of([row]))
    assert table.records[-1]["network"] == "ResNet18"
    assert table.records[-1]["published_ap_macro"] is None
    assert table.records[-1]["test_ap_macro"] == row.metrics["ap_macro"]["value"]
    assert list(published_tables(runs_of([dataclasses.replace(row, split="validation")]))) == []


def test_every_label_has_the_values_of_scikit_learn(made, writer):
    row = made[1][0]
    arrays = writer.artefact(row, "predictions", ())
    values = by_label(arrays["label"], arrays["probability"], arrays["called"])
    precision, recall, f1, n = precision_recall_fscore_support(arrays["label"], arrays["called"], zero_division=0)
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1), ("n", n)):
        np.testing.assert_allclose(values[name], expected, err_msg=name)
    ap = [
        average_precision_score(*(arrays[name][:, k] for name in ("label", "probability"))) for k in range(len(LABELS))
    ]
    np.testing.assert_allclose(values["ap"], ap)
    table = labels_of_row_table(row, values, "me")
    assert [record["label"] for record in table.records] == list(LABELS)
    assert table.records[3]["ap"] == values["ap"][3]


def test_differences_are_those_of_two_networks_on_the_same_images(made, writer):
    (entries,) = label_contests(writer, runs_of(made[1]))
    assert [entry.row.seed for entry in entries] == [0, 0, 0]
    resampled = Resampled(entries)
    values = [resampled.value(i, "ap_macro") for i in range(3)]
    assert values == sorted(values, reverse=True)
    one, two = entries[0].arrays, entries[2].arrays
    pairs = [(arrays["probability"], arrays["threshold"]) for arrays in (one, two)]
    expected = paired_differences(
        one["label"], pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1], metrics=METRICS, resamples=40
    )
    for metric in METRICS:
        assert resampled.minus(0, 2, metric) == pytest.approx(expected[metric], abs=1e-12)
    differences, pair_table = label_tables("here", entries)
    assert [line[5 + 2].text for line in differences.rows][::2] == ["▲", ""]
    assert differences.rows[2][5].text == "▽"
    assert differences.records[2]["ap_macro_high"] < 0
    assert len(pair_table.records) == 3
    assert pair_table.records[1]["ap_macro_difference"] == pytest.approx(values[0] - values[2])


def test_rows_on_other_images_or_labels_are_not_compared(made, writer, monkeypatch):
    runs, read, count = runs_of(made[1]), writer.artefact, iter(range(9))

    def of_other_images(row, name, keys):
        arrays = read(row, name, keys)
        return arrays | {"filename": np.char.add(arrays["filename"], str(next(count)))}

    monkeypatch.setattr(writer, "artefact", of_other_images)
    assert label_contests(writer, runs) == []
    monkeypatch.setattr(writer, "artefact", lambda row, name, keys: "not there")
    assert label_contests(writer, runs) == []


def test_examples_show_the_predictions_of_every_network_for_the_same_images(made, writer):
    (shown,) = label_examples(writer, runs_of(made[1]))
    assert (shown.title, shown.missing, len(shown.images)) == ("BigEarthNet v2 test", (), 8)
    members = [row for row in made[1] if row.seed == 0]
    for image in shown.images:
        assert [one.title for one in image.predictions] == ["ResNet-50, S1+S2", "ResNet-50, S1", "ViT-B/8-224"]
        for row, prediction in zip(members, image.predictions, strict=True):
            arrays = writer.artefact(row, "predictions", ())
            (place,) = np.flatnonzero(arrays["filename"] == image.name)
            true, predicted = (
                {text.class_name(LABELS[k]) for k in np.flatnonzero(arrays[name][place])}
                for name in ("label", "called")
            )
            assert set(image.labels) == true
            assert set(prediction.right) == true & predicted
            assert set(prediction.wrong) == predicted - true
            assert set(prediction.missed) == true - predicted
    assert list((writer.out_dir / "figures").glob("labels_test_*.png"))
    assert label_sheet(()).startswith(b"\x89PNG")


def test_missing_artefacts_are_said_so(made, writer):
    bare = [dataclasses.replace(row, artefacts={}) for row in made[1]]
    (shown,) = label_examples(writer, runs_of(bare))
    assert shown.images == ()
    assert any("names no “predictions” artefact" in reason for reason in shown.missing)
    (fold,) = label_folds(writer, bare)
    assert all("predictions" in figure.missing for figure in fold.blocks[0].content)
    only = [dataclasses.replace(row, artefacts={"predictions": row.artefacts["predictions"]}) for row in made[1][:1]]
    (shown,) = label_examples(writer, runs_of(only))
    assert "names no “patches” artefact" in shown.missing[0]


def test_charts_are_labelled_with_what_tells_rows_apart(made, writer):
    (section,) = label_section(writer, runs_of(made[1]))
    drawn = next(block for block in section.blocks if block.kind == "figures").content
    assert len(drawn) == 4
    for words in ("ResNet-50, S1+S2, seed", "ResNet-50, S1", "ViT-B/8-224", "published"):
        assert words in drawn[0].svg.replace("\n", " "), words
    (fold,) = label_folds(writer, made[1])
    assert [len(block.content) for block in fold.blocks] == [4, 4]
    assert "Land principally occupied by…" in fold.blocks[0].content[0].svg
    short = short_names(["a" * 40, "a" * 41, "b"])
    assert len(set(short)) == 3
    assert max(map(len, short)) <= 30


def test_sentences_say_how_rows_stand_to_the_trivial_answer(made):
    row = made[1][0]
    said = sentence(row)
    assert said.startswith(f"BigEarthNet v2 test: average precision {row.metrics['ap_macro']['value']:.3f}, mean of 9")
    assert said.endswith(f"by its share of the images would give {row.baseline['ap_macro']:.3f}.")
    trivial = row.baseline | {"ap_macro": row.metrics["ap_macro"]["value"]}
    assert "the network may do no better" in sentence(dataclasses.replace(row, baseline=trivial))


@pytest.mark.parametrize(
    ("fields", "comparable", "note"),
    [
        ({}, False, "test splits of 119,825 images; these hold 240"),
        ({"n": 119825}, True, ""),
        ({"n": 119825, "generated": True}, False, "drawn by a program, 119,825"),
        ({"n": 119824}, False, "these hold 119,824"),
        ({"dataset": "mlrsnet/official", "n": 54600}, True, ""),
        ({"dataset": "mlrsnet/official", "n": 50000}, False, "of 54,580 images; these hold 50,000"),
        ({"dataset": "bigearthnet_v1/s2_43", "n": 125866}, False, "of 103,868 images; these hold 125,866"),
    ],
)
def test_published_values_are_a_comparison_only_on_as_many_images(made, fields, comparable, note):
    row = dataclasses.replace(made[1][0], **fields)
    assert is_comparable(row) == comparable
    assert note in orientation_note([row])
    assert bool(note) == bool(orientation_note([row]))
