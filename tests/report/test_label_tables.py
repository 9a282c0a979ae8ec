"""Tables, charts and words of several labels an image and of searches hold what the rows hold."""

import dataclasses

import numpy as np
import pytest
from made_up_labels import LABELS, LabelMaker
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from mtsccd_jax.ops.multilabel_bootstrap import paired_differences
from mtsccd_jax.report import (
    label_comparisons,
    label_results,
    label_sections,
    label_sheets,
    label_tables,
    rows,
    sentences,
    words,
)
from mtsccd_jax.report.folder import Folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Rows of two networks on S1+S2, one of them twice and on S1 alone too. (root, rows). Not to be written to."""
    root = tmp_path_factory.mktemp("labels")
    for seed in (0, 1):
        LabelMaker(root / f"all{seed}", seed=seed).multilabel()
    s1 = {"name": "reben_resnet50_s1", "bands": ("s1",), "dataset": "bigearthnet_v2/s1", "skill": 0.6}
    LabelMaker(root / "s1", **s1).multilabel()
    vit = LabelMaker(root / "vit", name="reben_vit", model="vit_base_patch8", threshold="validation")
    vit.multilabel()
    vit.retrieval()
    return root, [row for path in sorted(root.iterdir()) for row in rows.load(path)]


def folder_of(made, out):
    root, all_rows = made
    workdirs = {row.id: path for path in sorted(root.iterdir()) for row in rows.load(path)}
    return Folder(out, workdirs), words.group_runs(all_rows)


def arrays_of(made, row):
    for path in made[0].iterdir():
        if any(other.id == row.id for other in rows.load(path)):
            return rows.load_artefact(path, row, "predictions")
    raise AssertionError(row.id)


def test_every_row_has_its_line_with_its_values(made):
    table = label_tables.label_table(words.group_runs(made[1]))
    members = [row for row in made[1] if row.protocol == "multilabel"]
    assert {record["id"] for record in table.records} == {row.id for row in members}
    assert len(table.rows) == len(members) + len(table.summaries) == 5
    assert all(len(line) == len(table.columns) for line in table.rows)
    by_id = {row.id: row for row in members}
    for record in table.records:
        row = by_id[record["id"]]
        assert record["ap_macro_low"] == row.metrics["ap_macro"]["low"]
        assert record["baseline_f1_micro"] == row.baseline["f1_micro"]
        assert record["published_ap_macro"] == row.published["metrics"]["ap_macro"]
    titles = [title for title, _ in table.columns]
    texts = {line[0].notes[1]: line[titles.index("Called from")] for line in table.rows if len(line[0].notes) > 2}
    assert (texts["reben_vit"].text, texts["reben_vit"].notes) == ("each its own", ("best f1", "on validation"))
    assert texts["reben_resnet50_s1"].text == "0.5"


def test_published_values_stand_beside_ours(made):
    ((source, table),) = label_tables.published_tables(words.group_runs(made[1]))
    assert source is label_results.REBEN
    assert [r["published_ap_macro"] for r in table.records] == [e.metrics["ap_macro"] for e in source.entries]
    assert table.footnotes == source.caveats
    with_row = {(r["network"], r["published_run"]): r for r in table.records if r["recipe"]}
    assert set(with_row) == {("ResNet-50", "S1+S2"), ("ResNet-50", "S1"), ("ViT-B/8-224", "S1+S2")}
    both = [row for row in made[1] if words.recipe_name(row) == "reben_resnet50_all"]
    mean = np.mean([row.metrics["f1_micro"]["value"] for row in both])
    record = with_row["ResNet-50", "S1+S2"]
    assert (record["test_f1_micro"], record["test_seeds"]) == (pytest.approx(mean), 2)
    card = next(r for r in table.records if r["network"] == "MobileViT-S")
    assert card["published_precision_macro"] is None
    assert card["test_ap_macro"] is None


def test_a_network_that_nobody_published_gets_a_line_of_its_own(made):
    row = dataclasses.replace(made[1][0], model="resnet18", published=None, id="x")
    ((_, table),) = label_tables.published_tables(words.group_runs([row]))
    assert table.records[-1]["network"] == "ResNet18"
    assert table.records[-1]["published_ap_macro"] is None
    assert table.records[-1]["test_ap_macro"] == row.metrics["ap_macro"]["value"]
    assert label_tables.published_tables(words.group_runs([dataclasses.replace(row, split="validation")])) == []


def test_every_label_has_the_figures_of_scikit_learn(made):
    row = made[1][0]
    arrays = arrays_of(made, row)
    values = label_tables.by_label(arrays["label"], arrays["probability"], arrays["called"])
    precision, recall, f1, n = precision_recall_fscore_support(arrays["label"], arrays["called"], zero_division=0)
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1), ("n", n)):
        np.testing.assert_allclose(values[name], expected, err_msg=name)
    for k in range(len(LABELS)):
        ap = average_precision_score(arrays["label"][:, k], arrays["probability"][:, k])
        assert values["ap"][k] == pytest.approx(ap)
    table = label_tables.labels_of_row_table(row, values, "me")
    assert [record["label"] for record in table.records] == list(LABELS)
    assert table.records[3]["ap"] == values["ap"][3]


def test_searches_have_their_metrics_by_name(made):
    table = label_tables.retrieval_table(words.group_runs(made[1]))
    titles = [title for title, _ in table.columns]
    assert {"mAP", "P@1", "P@20", "mAP@10", "NDCG", "ANMRR"} <= set(titles)
    (row,) = (row for row in made[1] if row.protocol == "retrieval")
    (line,) = table.rows
    assert line[titles.index("P@5")].text == f"{row.metrics['precision_at_5']['value']:.3f}"
    assert line[-1].text == f"{row.baseline['map']:.3f}"
    assert "searched in train" in line[0].notes
    assert table.records[0]["map_at_5_of_found"] == row.metrics["map_at_5_of_found"]["value"]


def test_differences_are_those_of_two_networks_on_the_same_images(made):
    runs = words.group_runs(made[1])

    def predictions(row, names):
        return {name: arrays_of(made, row)[name] for name in names}

    (contenders,) = label_comparisons.contests(runs, predictions)
    assert [c.row.seed for c in contenders] == [0, 0, 0]
    values = [c.value["ap_macro"] for c in contenders]
    assert values == sorted(values, reverse=True)
    a, b = contenders[0], contenders[-1]
    one, two = arrays_of(made, a.row), arrays_of(made, b.row)
    expected = paired_differences(
        one["label"],
        one["probability"],
        two["probability"],
        one["threshold"],
        two["threshold"],
        metrics=label_comparisons.METRICS,
        resamples=40,
    )
    for metric in label_comparisons.METRICS:
        assert a.minus(b, metric) == pytest.approx(expected[metric], abs=1e-12)
    table = label_comparisons.comparison_table(contenders, "here")
    assert [line[5 + 2].text for line in table.rows][::2] == ["▲", ""]
    assert table.rows[2][5].text == "▽"
    assert table.records[2]["ap_macro_high"] < 0
    pairs = label_comparisons.pair_table(contenders, "here")
    assert len(pairs.records) == 3
    assert pairs.records[1]["ap_macro_difference"] == pytest.approx(a.value["ap_macro"] - b.value["ap_macro"])


def test_rows_on_other_images_or_labels_are_not_compared(made):
    runs = words.group_runs(made[1])
    count = iter(range(9))

    def predictions(row, names):
        arrays = {name: arrays_of(made, row)[name] for name in names}
        return arrays | {"filename": np.char.add(arrays["filename"], str(next(count)))}

    assert label_comparisons.contests(runs, predictions) == []
    assert label_comparisons.contests(runs, lambda row, names: "not there") == []


def test_examples_show_what_every_network_says_of_the_same_images(made, tmp_path):
    folder, runs = folder_of(made, tmp_path)
    (shown,) = label_sections.label_examples(folder, runs)
    assert (shown.title, shown.missing, len(shown.images)) == ("BigEarthNet v2 test", (), 8)
    members = [row for row in made[1] if row.protocol == "multilabel" and row.seed == 0]
    for image in shown.images:
        assert [opinion.title for opinion in image.opinions] == ["ResNet-50, S1+S2", "ResNet-50, S1", "ViT-B/8-224"]
        for row, opinion in zip(members, image.opinions, strict=True):
            arrays = arrays_of(made, row)
            (place,) = np.flatnonzero(arrays["filename"] == image.name)
            true = {words.class_name(LABELS[k]) for k in np.flatnonzero(arrays["label"][place])}
            called = {words.class_name(LABELS[k]) for k in np.flatnonzero(arrays["called"][place])}
            assert set(image.labels) == true
            assert set(opinion.right) == true & called
            assert set(opinion.wrong) == called - true
            assert set(opinion.missed) == true - called
    assert list((tmp_path / "figures").glob("labels_test_*.png"))
    assert label_sheets.label_sheet(()).startswith(b"\x89PNG")


def test_missing_artefacts_are_said_so(made, tmp_path):
    folder, _ = folder_of(made, tmp_path)
    bare = [dataclasses.replace(row, artefacts={}) for row in made[1]]
    runs = words.group_runs(bare)
    (shown,) = label_sections.label_examples(folder, runs)
    assert shown.images == ()
    assert any("names no “predictions” artefact" in text for text in shown.missing)
    (searched,) = label_sections.searches(folder, runs)
    assert "names no “hits” artefact" in searched.missing
    (detail,) = label_sections.label_details(folder, runs)
    assert all("predictions" in drawn.missing for drawn in detail.figures)
    only = [dataclasses.replace(row, artefacts={"predictions": row.artefacts["predictions"]}) for row in made[1][:1]]
    (shown,) = label_sections.label_examples(folder, words.group_runs(only))
    assert "names no “patches” artefact" in shown.missing[0]


def test_hits_stand_with_their_labels_and_distances(made, tmp_path):
    folder, runs = folder_of(made, tmp_path)
    (shown,) = label_sections.searches(folder, runs)
    (row,) = (row for row in made[1] if row.protocol == "retrieval")
    hits = rows.load_artefact(folder.workdir_of[row.id], row, "hits")
    assert shown.title == "BigEarthNet v2 test, ViT-B/8-224"
    for query, search in enumerate(shown.searches):
        assert [hit.distance for hit in search.hits] == hits["distance_hit"][query].tolist()
        assert [hit.relevant for hit in search.hits] == hits["relevant_hit"][query].tolist()
    hits["name_hit"][0, 2:] = ""
    assert len(label_sections._search(hits, 0).hits) == 2


def test_charts_are_labelled_with_what_tells_rows_apart(made, tmp_path):
    folder, runs = folder_of(made, tmp_path)
    drawn = label_sections.overview(folder, runs, "multilabel")
    assert len(drawn) == 4
    for text in ("ResNet-50, S1+S2, seed", "ResNet-50, S1", "ViT-B/8-224", "published"):
        assert text in drawn[0].svg.replace("\n", " "), text
    assert len(label_sections.overview(folder, runs, "retrieval")) == 2
    (detail,) = label_sections.label_details(folder, runs)
    assert (len(detail.figures), len(detail.tables)) == (4, 4)
    assert "Land principally occupied by…" in detail.figures[0].svg
    short = label_sections.short_names(["a" * 40, "a" * 41, "b"])
    assert len(set(short)) == 3
    assert max(map(len, short)) <= 30


def test_sentences_say_how_rows_stand_to_the_trivial_answer(made):
    row = next(row for row in made[1] if row.protocol == "multilabel" and row.seed == 0)
    ((_, (text,)),) = sentences.headline(words.group_runs([row]))
    assert text.startswith(f"BigEarthNet v2 test: average precision {row.metrics['ap_macro']['value']:.3f}, mean of 9")
    assert text.endswith(f"by its share of the images would give {row.baseline['ap_macro']:.3f}.")
    trivial = row.baseline | {"ap_macro": row.metrics["ap_macro"]["value"]}
    ((_, (text,)),) = sentences.headline(words.group_runs([dataclasses.replace(row, baseline=trivial)]))
    assert "the network may do no better" in text
    (search,) = (row for row in made[1] if row.protocol == "retrieval")
    ((_, (text,)),) = sentences.headline(words.group_runs([search]))
    assert f"24 queries in train: mAP {search.metrics['map']['value']:.3f}" in text
    assert "of the first 10 hits are relevant" in text
    worse = dataclasses.replace(search, baseline=search.baseline | {"map": 1.0})
    ((_, (text,)),) = sentences.headline(words.group_runs([worse]))
    assert "the network does worse than that" in text


def test_published_values_are_a_comparison_only_on_as_many_images(made):
    row = made[1][0]
    assert "test splits of 119,825 images; these hold 240" in words.orientation_note([row])
    whole = dataclasses.replace(row, n=119825)
    assert words.comparable(whole)
    assert words.orientation_note([whole]) == ""
    assert not words.comparable(dataclasses.replace(whole, generated=True))
    assert not words.comparable(dataclasses.replace(whole, n=119824))
    drawn = dataclasses.replace(row, dataset="mlrsnet/official", n=54580)
    assert words.comparable(dataclasses.replace(drawn, n=54600))
    assert not words.comparable(dataclasses.replace(drawn, n=50000))
    official = dataclasses.replace(row, dataset="bigearthnet_v1/s2_43", n=125866)
    assert "of 103,868 images; these hold 125,866" in words.orientation_note([official])
