"""Tables hold what the rows hold, for readers and for machines."""

import csv
import dataclasses
import io

import numpy as np
import pytest
from made_up_runs import make_workdir
from sklearn.metrics import precision_recall_fscore_support

from mtsccd_jax.report import folders, paper_tables, published, row_tables, rows, tables, words


@pytest.fixture(scope="module")
def runs(workdir):
    return words.group_runs(rows.load(workdir))


def read_csv(table):
    return list(csv.DictReader(io.StringIO(tables.csv_text(table))))


def test_every_row_is_as_long_as_the_header(runs):
    scene = next(row for row in runs[0].rows if row.protocol == "scene")
    made = (
        row_tables.scene_table(runs),
        row_tables.change_table(runs),
        paper_tables.audit_table(),
        row_tables.throughput_table(runs, {(runs[0].name, 0): 3000.0}),
        row_tables.class_table(scene),
        row_tables.confusion_table(scene),
    )
    for table in made:
        assert table.rows, table.name
        assert all(len(row) == len(table.columns) for row in table.rows), table.name


def test_records_hold_every_value_of_the_rows(runs):
    table = row_tables.change_table(runs)
    members = [row for row in runs[0].rows if row.protocol != "scene"]
    records = {(r["protocol"], r["split"]): r for r in read_csv(table)}
    assert len(records) == len(members) == 4
    for row in members:
        record = records[row.protocol, row.split]
        assert float(record["kappa"]) == row.metrics["kappa"]["value"]
        assert float(record["oa_high"]) == row.metrics["oa"]["high"]
        assert record["threshold"] == ("" if row.threshold is None else str(row.threshold))
        assert float(record["baseline_oa"]) == row.baseline["oa"]
        assert record["published_possible"] == "True"
        if row.metrics_rechosen:
            assert float(record["kappa_rechosen_low"]) == row.metrics_rechosen["kappa"]["low"]


def test_both_intervals_and_the_papers_value_stand_with_the_value(runs):
    titles = [title for title, _ in row_tables.change_table(runs).columns]
    first = dict(zip(titles, row_tables.change_table(runs).rows[0], strict=True))
    row = next(row for row in runs[0].rows if row.protocol == "cfsm")
    assert first["Method and test set"].text == "CFSM, Hefei"
    assert first["Kappa"].notes == (
        words.interval(row.metrics["kappa"]),
        words.interval(row.metrics_rechosen["kappa"]),
    )
    assert first["Threshold"].notes == ("best kappa", "on validation", "paper 0.285, on its own scale")
    assert first["Paper's kappa"].text == "0.452"
    assert first["Paper's kappa"].notes == ("possible",)
    assert first["Pairs"].notes == ("933 changed",)


def test_impossible_values_are_marked_and_explained(runs):
    row = next(row for row in runs[0].rows if row.protocol == "cfsm")
    value = dataclasses.asdict(published.change("cfsm", "vit_b16", "test_a"))
    table = row_tables.change_table(words.group_runs([dataclasses.replace(row, published=value, threshold=None)]))
    titles = [title for title, _ in table.columns]
    cell = table.rows[0][titles.index("Paper's kappa")]
    assert (cell.notes, cell.kind) == (("impossible",), "bad")
    assert table.rows[0][titles.index("Threshold")].text == "none"
    assert table.footnotes == (f"Paper, CFSM, ViT, Hefei: {value['reason']}.",)
    assert value["reason"] in tables.markdown_text(table)


def test_repetitions_get_a_line_of_mean_and_deviation(runs):
    row = next(row for row in runs[0].rows if row.protocol == "scene")
    rows_of_seeds = [
        dataclasses.replace(row, id=str(seed), seed=seed, metrics={"oa": {"value": oa, "low": None, "high": None}})
        for seed, oa in enumerate((0.5, 0.6, 0.7))
    ]
    table = row_tables.scene_table(words.group_runs(rows_of_seeds[::-1]))
    assert table.summaries == {3}
    assert [line[2].text for line in table.rows] == ["0.500", "0.600", "0.700", "0.600"]
    assert table.rows[3][0].notes[0] == "mean of 3 runs"
    assert table.rows[3][2].notes == ("± 0.100",)
    assert [r["seed"] for r in table.records] == [0, 1, 2]


def test_a_difference_is_only_given_at_the_papers_counts(runs):
    titles = [title for title, _ in row_tables.scene_table(runs).columns]
    at = titles.index("Difference")
    row = next(row for row in runs[0].rows if row.protocol == "scene")
    whole = row_tables.scene_table(words.group_runs([row])).rows[0][at].text
    assert whole == f"{row.metrics['oa']['value'] - 0.7196:+.3f}".replace("-", "−")
    part = dataclasses.replace(row, n=10)
    assert row_tables.scene_table(words.group_runs([part])).rows[0][at].text == "–"


def test_classes_have_the_precision_and_recall_of_scikit_learn(runs):
    row = next(row for row in runs[0].rows if row.protocol == "scene")
    truth, called = np.repeat(np.indices((10, 10)).reshape(2, -1), np.ravel(row.confusion), axis=1)
    expected = precision_recall_fscore_support(truth, called, zero_division=0)
    records = row_tables.class_table(row).records
    for values, name in zip(expected, ("precision", "recall", "f1", "n"), strict=True):
        np.testing.assert_allclose([record[name] for record in records], values)


def test_confusions_are_counts_under_their_full_names(runs):
    row = next(row for row in runs[0].rows if row.protocol == "scene")
    records = read_csv(row_tables.confusion_table(row))
    assert [r["truth"] for r in records] == row.class_names
    assert [[int(r[name]) for name in row.class_names] for r in records] == row.confusion


def test_the_audit_table_lists_16_impossible_values():
    records = read_csv(paper_tables.audit_table())
    assert len(records) == 46
    assert sum(r["possible"] == "False" for r in records) == 16
    assert sum(r["tp"] != "" for r in records) == 22


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """Rows of the paper's ResNet18 and of three narrow ones, two of them of one network; both splits of these two."""
    root = tmp_path_factory.mktemp("stand_ins")
    made = make_workdir(root / "whole", name="whole", model="resnet18", share=0.02)
    for name, width in (("a_stand_in", 0.25), ("b_stand_in", 0.25), ("c_stand_in", 0.125)):
        made += make_workdir(root / name, name=name, model="resnet18", width=width, share=0.02)
    for name in ("a_stand_in", "b_stand_in"):
        paired = {"name": name, "model": "resnet18", "width": 0.25, "config": "paired"}
        made += make_workdir(root / f"{name}_paired", share=0.02, **paired)
    return made


def test_stand_ins_are_listed_by_their_recipe_after_the_papers_networks(stand_ins):
    official = words.group_runs([row for row in stand_ins if row.dataset.endswith("/official")])
    first = paper_tables.table_6(official)
    networks = list(published.TABLE_6)
    assert [line[0].text for line in first.rows] == [*networks, "a_stand_in", "b_stand_in", "c_stand_in"]
    assert [line[0].notes[0] for line in first.rows[-3:]] == ["resnet18 x0.25", "resnet18 x0.25", "resnet18 x0.125"]
    assert [r["recipe"] for r in first.records if r["recipe"]] == ["whole", "a_stand_in", "b_stand_in", "c_stand_in"]
    assert [r["test_a_paper_oa"] for r in first.records if r["recipe"]] == [0.7037, None, None, None]
    second = paper_tables.table_7(official)
    for method in ("cdc_1", "cfsm"):
        recipes = [r["recipe"] for r in second.records if r["method"] == method]
        papers = [network for protocol, network in published.TABLE_7 if protocol == method]
        assert recipes == [None] * len(papers) + ["whole", "a_stand_in", "b_stand_in", "c_stand_in"]
    own = [r for r in second.records if r["recipe"]]
    assert all(r["test_a_paper_kappa"] is None and r["test_a_kappa"] is not None for r in own)
    assert "they are no comparison" in second.caption


def test_a_stand_in_called_like_the_papers_network_does_not_get_its_values(tmp_path):
    made = make_workdir(tmp_path, name="alexnet", model="alexnet", width=0.25, share=0.02)
    runs = words.group_runs(made)
    assert [row.published for row in made] == [None] * len(made)
    (record,) = paper_tables.table_6(runs).records
    assert (record["network"], record["recipe"], record["test_a_paper_oa"]) == ("alexnet x0.25", "alexnet", None)
    for record in paper_tables.table_7(runs).records:
        assert (record["test_a_paper_oa"], record["paper_threshold"]) == (None, None)


def test_recipes_of_one_network_have_leaks_of_their_own(stand_ins):
    table = paper_tables.leak_table(words.group_runs(stand_ins), lambda row: None)
    assert [line[0].text for line in table.rows if line[0].text.startswith("Scenes")] == [
        "Scenes, resnet18 x0.25, a",
        "Scenes, resnet18 x0.25, b",
    ]
    for record in table.records:
        for config in ("official", "paired"):
            (row,) = (
                row
                for row in stand_ins
                if words.recipe_name(row) == record["recipe"]
                and row.dataset.endswith(config)
                and (row.protocol, row.split) == (record["protocol"], "test_a")
            )
            assert record[f"{config}_test_a"] == row.metrics[record["metric"]]["value"]


def test_failures_are_of_recipes():
    table = paper_tables.failures_table([folders.Failure("mtsccd_vgg16_stand_in", "cfsm", "test_a", 1, "too large")])
    assert table.columns[0][0] == "Recipe"
    assert [cell.text for cell in table.rows[0]] == ["mtsccd_vgg16_stand_in", "CFSM", "Hefei", "1", "too large"]
    assert table.records[0]["recipe"] == "mtsccd_vgg16_stand_in"


def test_markdown_is_a_table_whose_cells_cannot_break_it():
    table = tables.Table(
        "t", "A caption.", (("A|B", False), ("n", True)), [[tables.Cell("x|y", ("z",)), tables.Cell("1")]], []
    )
    assert tables.markdown_text(table).splitlines() == [
        "A caption.",
        "",
        r"| A\|B | n |",
        "| --- | ---: |",
        r"| x\|y (z) | 1 |",
    ]


def test_pairs_count_two_images_in_the_throughput(runs):
    records = {
        (r["what"], r["split"]): r for r in read_csv(row_tables.throughput_table(runs, {(runs[0].name, 0): 3000.0}))
    }
    assert records["scene", "test_a"]["images"] == "10156"
    assert records["cfsm", "test_a"]["images"] == "10156"
    assert records["training", ""]["images_per_s"] == "3000.0"


def test_latex_is_a_table_whose_cells_cannot_break_it():
    table = tables.Table(
        "t",
        "100 % of a_b.",
        (("A&B", False), ("n", True)),
        [[tables.Cell("CDC_1", ("z",)), tables.Cell("−1")], [tables.Cell("mean"), tables.Cell(r"\x")]],
        [],
        {1},
        ("Why #1.",),
    )
    lines = tables.latex_text(table).splitlines()
    assert lines[1:4] == [r"\caption{100 \% of a\_b.}", r"\begin{tabular}{lr}", r"\toprule"]
    assert lines[4:6] == [r"A\&B & n \\", r"\midrule"]
    assert lines[6:9] == [r"CDC\_1 (z) & $-$1 \\", r"\midrule", r"mean & \textbackslash{}x \\"]
    assert r"\par\footnotesize Why \#1." in lines
