"""Rows say what share of their examples has a copy in training; `verify` counts again, and the page says it."""

import csv
from dataclasses import astuple, replace

import numpy as np
import pytest
from commands import refused, run
from damaged_rows import keys, resaved

from mtsccd_jax.data.parts.listed import row_names
from mtsccd_jax.data.tfds_source import tfds_source
from mtsccd_jax.report import rows
from tfds_builders.exclude_list import COLUMNS, COMPARED, Line, names_fingerprint

TRAINED_ON = {"mtsccd_lusc": "mtsccd_lusc/official", "mtsccd_lucd": "mtsccd_lusc/official"}
LISTED = [0, 2, 3]


@pytest.fixture(scope="module")
def listed(demo_run, tmp_path_factory):
    """A list that names three rows of test A of either data set."""
    lines = []
    for dataset, kept in TRAINED_ON.items():
        names = row_names(tfds_source(dataset, "test_a", data_dir=demo_run[0] / "tfds"))
        empty = Line(f"{dataset}/official", "test_a", "", "", names_fingerprint(names))
        lines += [empty, *(replace(empty, row=str(row), name=names[row], kind="near", kept_dataset=kept,
                                   kept_split="train") for row in LISTED)]  # fmt: skip
    lines += [Line(name, "train", "", "", "0" * 64, COMPARED) for name in set(TRAINED_ON.values())]
    path = tmp_path_factory.mktemp("list") / "exclude.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *map(astuple, lines)])
    return path


@pytest.fixture(scope="module")
def evaluated(run_copy, demo_run, listed):
    """The work directory with a scene row and a change row of test A that know the list."""
    from mtsccd_jax.cli import main

    data = ["--data-dir", str(demo_run[0] / "tfds"), "--split", "test_a", "--leaks", str(listed), "-q"]
    assert main(["evaluate", str(run_copy), *data]) == 0
    assert main(["change", str(run_copy), "--method", "cfsm", *data]) == 0
    return run_copy


@pytest.mark.parametrize("protocol", ["scene", "cfsm"])
def test_a_row_has_the_share_and_which_examples(evaluated, protocol):
    (row,) = [row for row in rows.load(evaluated) if row.protocol == protocol]
    leaked = rows.load_artefact(evaluated, row, "predictions")["leaked"]
    assert np.flatnonzero(leaked).tolist() == LISTED
    assert row.metrics["leaked"] == {"value": pytest.approx(3 / row.n), "low": None, "high": None}
    assert keys(evaluated, row) == set()
    wrong = row.metrics | {"leaked": row.metrics["leaked"] | {"value": 0.0}}
    assert keys(evaluated, row, metrics=wrong) == {"metrics.leaked.value"}
    forged = resaved(evaluated, row, "predictions", lambda arrays: arrays["leaked"].fill(False))
    assert keys(evaluated, forged) == {"metrics.leaked.value"}


def test_the_page_says_it(evaluated, tmp_path, capsys):
    status, _, _ = run(capsys, "report", evaluated, "--out", tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert status == 0
    assert page.count("of them have a copy in training.") == 2
    assert '<th scope="col" class="number">Leaked</th>' in page


def test_excluded_rows_are_not_evaluated(evaluated, demo_run, listed, capsys):
    data = ("--data-dir", demo_run[0] / "tfds", "--split", "test_a")
    whole = next(row for row in rows.load(evaluated) if row.protocol == "scene")
    status, _, _ = run(capsys, "evaluate", evaluated, *data, "--exclude", listed)
    newest = rows.load(evaluated)[-1]
    assert (status, newest.n) == (0, whole.n - len(LISTED))
    assert newest.id != whole.id
    assert keys(evaluated, newest) == set()
    other = ("--data-dir", demo_run[0] / "tfds", "--split", "validation")
    assert "says nothing of mtsccd_lusc/official validation" in refused(
        capsys, "evaluate", evaluated, *other, "--exclude", listed
    )
