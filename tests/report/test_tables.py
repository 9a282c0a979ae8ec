"""Tables hold what the rows hold, for readers and for machines."""

import csv
import dataclasses
import io

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from mtsccd_jax.report import published, rows, tables, words


@pytest.fixture(scope="module")
def runs(workdir):
    return words.group_runs(rows.load(workdir))


def read_csv(table):
    return list(csv.DictReader(io.StringIO(tables.csv_text(table))))


def test_every_row_is_as_long_as_the_header(runs):
    scene = next(row for row in runs[0].rows if row.protocol == "scene")
    made = (
        tables.scene_table(runs),
        tables.change_table(runs),
        tables.audit_table(),
        tables.throughput_table(runs, {(runs[0].name, 0): 3000.0}),
        tables.class_table(scene),
        tables.confusion_table(scene),
    )
    for table in made:
        assert table.rows, table.name
        assert all(len(row) == len(table.columns) for row in table.rows), table.name


def test_records_hold_every_value_of_the_rows(runs):
    table = tables.change_table(runs)
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
    titles = [title for title, _ in tables.change_table(runs).columns]
    first = dict(zip(titles, tables.change_table(runs).rows[0], strict=True))
    row = next(row for row in runs[0].rows if row.protocol == "cfsm")
    assert first["Method and test set"].text == "CFSM, Hefei"
    assert first["Kappa"].notes == (
        words.interval(row.metrics["kappa"]),
        words.interval(row.metrics_rechosen["kappa"]),
    )
    assert first["Threshold"].notes == ("best kappa", "on validation", "paper 0.285")
    assert first["Paper's kappa"].text == "0.452"
    assert first["Paper's kappa"].notes == ("possible",)
    assert first["Pairs"].notes == ("933 changed",)


def test_impossible_values_are_marked_and_explained(runs):
    row = next(row for row in runs[0].rows if row.protocol == "cfsm")
    value = dataclasses.asdict(published.change("cfsm", "vit_b16", "test_a"))
    table = tables.change_table(words.group_runs([dataclasses.replace(row, published=value, threshold=None)]))
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
    table = tables.scene_table(words.group_runs(rows_of_seeds[::-1]))
    assert table.summaries == {3}
    assert [line[2].text for line in table.rows] == ["0.500", "0.600", "0.700", "0.600"]
    assert table.rows[3][0].notes[0] == "mean of 3 runs"
    assert table.rows[3][2].notes == ("± 0.100",)
    assert [r["seed"] for r in table.records] == [0, 1, 2]


def test_a_difference_is_only_given_at_the_papers_counts(runs):
    titles = [title for title, _ in tables.scene_table(runs).columns]
    at = titles.index("Difference")
    row = next(row for row in runs[0].rows if row.protocol == "scene")
    whole = tables.scene_table(words.group_runs([row])).rows[0][at].text
    assert whole == f"{row.metrics['oa']['value'] - 0.7196:+.3f}".replace("-", "−")
    part = dataclasses.replace(row, n=10)
    assert tables.scene_table(words.group_runs([part])).rows[0][at].text == "–"


def test_classes_have_the_precision_and_recall_of_scikit_learn(runs):
    row = next(row for row in runs[0].rows if row.protocol == "scene")
    truth, called = np.repeat(np.indices((10, 10)).reshape(2, -1), np.ravel(row.confusion), axis=1)
    expected = precision_recall_fscore_support(truth, called, zero_division=0)
    records = tables.class_table(row).records
    for values, name in zip(expected, ("precision", "recall", "f1", "n"), strict=True):
        np.testing.assert_allclose([record[name] for record in records], values)


def test_confusions_are_counts_under_their_full_names(runs):
    row = next(row for row in runs[0].rows if row.protocol == "scene")
    records = read_csv(tables.confusion_table(row))
    assert [r["truth"] for r in records] == row.class_names
    assert [[int(r[name]) for name in row.class_names] for r in records] == row.confusion


def test_the_audit_table_lists_16_impossible_values():
    records = read_csv(tables.audit_table())
    assert len(records) == 46
    assert sum(r["possible"] == "False" for r in records) == 16
    assert sum(r["tp"] != "" for r in records) == 22


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
    records = {(r["what"], r["split"]): r for r in read_csv(tables.throughput_table(runs, {(runs[0].name, 0): 3000.0}))}
    assert records["scene", "test_a"]["images"] == "10156"
    assert records["cfsm", "test_a"]["images"] == "10156"
    assert records["training", ""]["images_per_s"] == "3000.0"
