"""Which differences hold: Holm's correction, which rows are compared, and tables that say so."""

import numpy as np
import pytest
from made_up_rows import change_row
from reports import runs_of

from mtsccd_jax.report import comparable
from mtsccd_jax.report.comparable import Entry, contests, holm, kappa_tables, labelled
from mtsccd_jax.report.published.tables import METHOD_NAMES


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


def row_of(model, oa=0.5, **fields):
    interval = (oa, None, None)
    return change_row(
        id=model, model=model, n=600, kappa=(2 * oa - 1, None, None), oa=interval, recipe={"name": model}, **fields
    )


class World:
    """Rows of one truth: good, as good but for a few, and poor; one on other pairs, one without predictions."""

    def __init__(self):
        self.truth = np.random.default_rng(1).random(600) < 0.4
        self.wrong = {"vgg16": (0, 60), "resnet18": (100, 166), "alexnet": (200, 440)}
        self.rows = [row_of(model, 1 - (last - first) / 600) for model, (first, last) in self.wrong.items()]
        self.rows += [row_of("googlenet"), row_of("vgg19", split="validation"), row_of("senet")]

    def artefact(self, row, name, wanted):
        place, (first, last) = np.arange(600), self.wrong.get(row.model, (0, 0))
        names = np.array([f"{i}.jpg" for i in place])
        arrays = {"changed": self.truth, "predicted": self.truth ^ ((place >= first) & (place < last))}
        arrays |= {"filename_t1": names if row.model != "googlenet" else names[::-1], "filename_t2": names}
        return "none here" if row.model == "senet" else {name: arrays[name] for name in wanted}


@pytest.fixture
def entries():
    world = World()
    names = ("filename_t1", "filename_t2")
    (found,) = contests(
        world, runs_of(world.rows), METHOD_NAMES, "kappa", truth="changed", names=names, needed=["predicted"]
    )
    return labelled(found, METHOD_NAMES)


def test_only_rows_on_the_same_examples_of_a_test_set_are_compared(entries):
    assert [entry.label for entry in entries] == ["CFSM VGG16", "CFSM ResNet18", "CFSM AlexNet"]


def test_the_tables_say_which_differences_hold(entries):
    table, pairs = kappa_tables("change", "here", entries, "changed", "predicted")
    assert [cell.text for cell in table.rows[0]][3:] == ["–", "the best by kappa", "", "·", "▲"]
    assert [cell.text for cell in table.rows[2]][4:] == ["worse", "▽", "▽", ""]
    assert table.rows[1][4].text == "not settled"
    assert "Holm-corrected over the 3 comparisons shown, of which 2 hold at 0.05" in table.caption
    assert table.records[2]["high"] < 0
    assert [record["only_a_right"] for record in pairs.records] == [66, 240, 240]
    assert [record["only_b_right"] for record in pairs.records] == [60, 60, 66]
    assert all(record["p_holm"] >= record["p"] for record in pairs.records)


def test_namesakes_get_labels_that_tell_them_apart():
    rows = [
        row_of("vgg16"),
        row_of("vgg16", dataset="mtsccd_lucd/paired"),
        row_of("resnet18", objective="f1"),
        row_of("resnet18", objective="kappa"),
    ]
    named = labelled([Entry("", run, row, {}) for run in runs_of(rows) for row in run.rows], METHOD_NAMES)
    assert {entry.label for entry in named} == {
        "CFSM VGG16",
        "CFSM VGG16, leak-free",
        "CFSM ResNet18, best f1",
        "CFSM ResNet18, best kappa",
    }


@pytest.mark.parametrize(
    ("generated", "begin"),
    [
        ([False], ""),
        ([True, True], "The images of these rows are drawn by a program"),
        ([True, False], "The images of 1 of these 2 rows are drawn by a program"),
    ],
)
def test_drawn_images_are_said_to_be_so(generated, begin):
    note = comparable.generated_note([change_row(generated=drawn) for drawn in generated])
    assert note.startswith(begin)
    assert bool(note) == bool(begin)
