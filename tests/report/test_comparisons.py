"""Which differences hold: Holm's correction, and tables that say so."""

import numpy as np
import pytest

from mtsccd_jax.report import comparisons, words
from mtsccd_jax.report.comparisons import Contender, holm
from mtsccd_jax.report.rows import Row


def test_holm_is_the_step_down_method():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
    # By its definition: p_(i) is rejected at a level iff p_(j) <= level / (m - j + 1) for every j <= i.
    p = np.random.default_rng(0).random(30) ** 4
    corrected = np.array(holm(list(p)))
    for level in (0.001, 0.05, 0.3):
        order = np.argsort(p)
        passed = np.cumprod(p[order] * np.arange(30, 0, -1) <= level).astype(bool)
        assert set(order[passed]) == set(np.flatnonzero(corrected <= level))


def make_row(name, truth, predicted, **fields):
    confusion = [[int(((truth == t) & (predicted == p)).sum()) for p in (0, 1)] for t in (0, 1)]
    oa = float((truth == predicted).mean())
    metrics = {
        "oa": {"value": oa, "low": None, "high": None},
        "kappa": {"value": 2 * oa - 1, "low": None, "high": None},
    }
    values = {"id": name, "dataset": "mtsccd_lucd/official", "split": "test_a", "protocol": "cfsm", "model": name}
    values |= {"seed": 0, "n": len(truth), "metrics": metrics, "confusion": confusion, "recipe": {"name": name}}
    return Row(**(values | {"class_names": ["unchanged", "changed"]} | fields))


@pytest.fixture
def world():
    """Rows of one truth: good, as good but for a few, and poor; and one on other pairs. (runs, predictions)."""
    random = np.random.default_rng(1)
    truth = (random.random(600) < 0.4).astype(np.int64)
    verdicts = {}
    for name, first, last in (("vgg16", 0, 60), ("resnet18", 100, 166), ("alexnet", 200, 440)):
        verdicts[name] = np.where((np.arange(600) >= first) & (np.arange(600) < last), 1 - truth, truth)
    names = np.array([f"{i}.jpg" for i in range(600)])
    rows = [make_row(name, truth, predicted) for name, predicted in verdicts.items()]
    elsewhere = make_row("googlenet", truth, truth)
    validation = make_row("vgg19", truth, truth, split="validation")

    def predictions(row, wanted):
        arrays = {"changed": truth, "predicted": verdicts.get(row.model, truth)}
        arrays |= {"filename_t1": names if row.model != "googlenet" else names[::-1], "filename_t2": names}
        return "none here" if row.model == "senet" else {name: arrays[name] for name in wanted}

    rows += [elsewhere, validation, make_row("senet", truth, truth)]
    return words.group_runs(rows), predictions


def test_only_rows_on_the_same_examples_of_a_test_set_are_compared(world):
    (contenders,) = comparisons.contests(*world)
    assert [contender.label for contender in contenders] == ["CFSM VGG16", "CFSM ResNet18", "CFSM AlexNet"]


def test_the_table_says_which_differences_hold(world):
    (contenders,) = comparisons.contests(*world)
    table = comparisons.comparison_table(contenders, "here")
    assert [cell.text for cell in table.rows[0]][3:] == ["–", "the best by kappa", "", "·", "▲"]
    assert [cell.text for cell in table.rows[2]][4:] == ["worse", "▽", "▽", ""]
    assert table.rows[1][4].text == "not settled"
    assert "Holm-corrected over the 3 comparisons shown, of which 2 hold at 0.05" in table.caption
    assert table.records[2]["high"] < 0
    pairs = comparisons.pair_table(contenders, "here")
    assert len(pairs.records) == 3
    for record in pairs.records:
        a, b = (next(c for c in contenders if c.label == record[key]) for key in "ab")
        assert record["only_a_right"] == int((a.right & ~b.right).sum())
        assert record["p_holm"] >= record["p"]


def test_namesakes_get_labels_that_tell_them_apart():
    truth = np.zeros(4, np.int64)
    rows = [
        make_row("vgg16", truth, truth),
        make_row("vgg16", truth, truth, dataset="mtsccd_lucd/paired"),
        make_row("resnet18", truth, truth, objective="f1"),
        make_row("resnet18", truth, truth, objective="kappa"),
    ]
    named = comparisons.named([Contender("", run, r, truth, truth) for run in words.group_runs(rows) for r in run.rows])
    assert {c.label for c in named} == {
        "CFSM VGG16",
        "CFSM VGG16, leak-free",
        "CFSM ResNet18, best f1",
        "CFSM ResNet18, best kappa",
    }
