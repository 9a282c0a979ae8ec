"""The paper's tables and what can be recovered of them, against brute force in rational arithmetic."""

import itertools
from collections import Counter
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from mtsccd_jax.report import published
from mtsccd_jax.report.published import confusion_feasibility, tables


def exact(tn, fp, fn, tp):
    """(OA, kappa) of a binary table as fractions; kappa None where it is 0/0."""
    n = tn + fp + fn + tp
    agreement = Fraction(tn + tp, n)
    chance = Fraction((tp + fp) * (tp + fn) + (tn + fn) * (tn + fp), n * n)
    return agreement, None if chance == 1 else (agreement - chance) / (1 - chance)


def prints_as(value, printed, rounding):
    """Whether a fraction prints as a four-digit number."""
    printed = Fraction(round(printed * 10_000), 10_000)
    if rounding == "nearest":
        return abs(value - printed) <= Fraction(1, 20_000)
    cut = Fraction(int(value * 10_000), 10_000)  # int() cuts towards zero
    return cut == printed


def brute_force(oa, kappa, n, positives, rounding):
    """Every table of n examples with these positives that prints as both numbers, by trying all of them."""
    found = []
    for fp in range(n - positives + 1):
        for fn in range(positives + 1):
            table = (n - positives - fp, fp, fn, positives - fn)
            agreement, chance_corrected = exact(*table)
            fits = chance_corrected is not None and prints_as(agreement, oa, rounding)
            if fits and prints_as(chance_corrected, kappa, rounding):
                found.append(table)
    return tuple(found)


def test_16_kappas_of_table_7_are_impossible_and_5_entries_never_predict_changed():
    entries = tables.table_7()
    impossible = {entry.model for entry in entries if not entry.audit.possible}
    assert (len(entries), sum(not entry.audit.possible for entry in entries)) == (46, 16)
    assert impossible == {"DenseNet", "EfficientNet", "SENet", "SwinT", "ViT"}
    assert {(entry.method, entry.model, entry.split) for entry in entries if entry.audit.all_unchanged} == {
        ("cfsm", "DenseNet", "test_a"),
        *(("cfsm", model, split) for model in ("EfficientNet", "ViT") for split in ("test_a", "test_b")),
    }


def test_recovered_tables_of_table_7_give_both_printed_numbers_and_are_the_only_ones():
    recovered = [entry for entry in tables.table_7() if entry.audit.tables]
    assert Counter(entry.split for entry in recovered) == {"test_a": 12, "test_b": 10}
    for entry in recovered:
        (table,) = entry.audit.tables
        _, fp, fn, tp = table
        assert (sum(table), fn + tp) == tables.PAIRS_CHANGED[entry.split]
        oa, kappa = exact(*table)
        assert prints_as(oa, entry.oa, "nearest")
        assert prints_as(kappa, entry.kappa, "nearest")
        # Every other table of that prevalence with the same number of errors, by floats.
        pairs, changed = tables.PAIRS_CHANGED[entry.split]
        other_fp = np.arange(max(0, fp + fn - changed), fp + fn + 1)
        kappas = [float(exact(pairs - changed - f, f, fp + fn - f, changed - fp - fn + f)[1]) for f in other_fp]
        assert sum(abs(value - entry.kappa) <= 0.5e-4 for value in kappas) == 1


def test_a_recovered_table_is_what_scikit_learn_calls_that_accuracy_and_kappa():
    entry = next(e for e in tables.table_7() if (e.method, e.model, e.split) == ("sscd", "VGG16", "test_a"))
    tn, fp, fn, tp = entry.audit.tables[0]
    assert (tn, fp, fn, tp) == (3749, 396, 349, 584)
    truth = np.repeat([0, 0, 1, 1], [tn, fp, fn, tp])
    called = np.repeat([0, 1, 0, 1], [tn, fp, fn, tp])
    assert round(accuracy_score(truth, called), 4) == 0.8533
    assert round(cohen_kappa_score(truth, called), 4) == 0.5202


@pytest.mark.parametrize("rounding", ["nearest", "down"])
@pytest.mark.parametrize(("n", "positives"), [(37, 9), (60, 30), (41, 0), (25, 25)])
def test_integer_tables_are_those_of_brute_force(n, positives, rounding):
    random = np.random.default_rng(n)
    for _ in range(6):
        fp, fn = random.integers(0, n - positives + 1), random.integers(0, positives + 1)
        oa, kappa = exact(int(n - positives - fp), int(fp), int(fn), int(positives - fn))
        printed = (round(float(oa), 4), round(float(kappa or 0), 4))
        expected = brute_force(*printed, n, positives, rounding)
        assert confusion_feasibility.integer_tables(*printed, n, positives, rounding) == expected
        for other in (printed[1] + 0.0137, printed[1] - 0.02):
            assert confusion_feasibility.integer_tables(printed[0], other, n, positives, rounding) == brute_force(
                printed[0], other, n, positives, rounding
            )


def test_bounds_on_kappa_hold_for_every_table_of_30_and_are_reached():
    gap = []
    for tn, fp, fn in itertools.product(range(31), repeat=3):
        tp = 30 - tn - fp - fn
        oa, kappa = exact(tn, fp, fn, tp) if tp >= 0 else (None, None)
        if kappa is not None:
            assert confusion_feasibility.kappa_lower_bound(float(oa)) - 1e-12 <= kappa
            gap.append(confusion_feasibility.kappa_bound(float(oa)) - float(kappa))
            printed = round(float(oa), 4), round(float(kappa), 4)
            assert confusion_feasibility.is_possible(*printed)
            assert confusion_feasibility.is_possible(*printed, 30, fn + tp)
    assert abs(min(gap)) < 1e-12


@pytest.mark.parametrize(
    ("numbers", "possible"),
    [
        ((0.8163, 0.8163), False),
        ((0.6881, 0.2780), True),
        ((0.6881, 0.2780, 5078, 933), False),  # within the bound, but no table prints so
        ((0.5, 0.1, 10), True),
        ((0.55, 0.05, 10), False),
        ((0.8163, 0.0, 5078, 933), True),  # never "changed"
        ((0.6666, 0.0, 3), True),  # cut off, not rounded
    ],
)
def test_more_is_known_with_the_number_of_examples_and_positives(numbers, possible):
    assert confusion_feasibility.is_possible(*numbers) == possible


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.2, 0.1), "overall accuracy must lie in"),
        ((0.5, 1.5), "kappa must lie in"),
        ((0.5, 0.1, None, 3), "positives without n"),
        ((0.5, 0.1, 10, 11), "positives must lie in 0 .. 10"),
        ((0.5, 0.1, 0, 0), "n must lie in"),
    ],
)
def test_is_possible_names_the_wrong_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        confusion_feasibility.is_possible(*arguments)


def test_published_values_are_found_under_both_names():
    entry = published.scene("resnet18", "test_b")
    assert entry == published.scene("ResNet18", "test_b")
    assert (entry.oa, entry.kappa, entry.possible) == (0.7027, None, True)
    change = published.change("cfsm", "vit_b16", "test_b")
    assert (change.model, change.oa, change.kappa, change.threshold) == ("ViT", 0.8264, 0.8164, 0.7765)
    assert not change.possible
    assert "above 0.6630" in change.reason
    assert list(asdict(change)) == ["source", "model", "oa", "kappa", "threshold", "possible", "reason", "metrics"]
    assert published.change("cdc_1", "resnet101", "test_a").threshold is None


@pytest.mark.parametrize(
    "value",
    [
        published.scene("resnet34", "test_a"),
        published.scene("vit_ti16", "test_a"),
        published.scene("resnet18", "validation"),
        published.scene("resnet18", "test_a", width=0.25),
        published.change("cfsm", "resnet18", "test_a"),
        published.change("cdc_2", "vit_b16", "test_a"),
        published.change("cfsm", "alexnet", "test_a", width=0.25),
        tables.paper_name("resnet18", width=0.25),
    ],
)
def test_what_the_paper_does_not_have_is_none(value):
    assert value is None


def test_tables_agree_with_each_other():
    assert {model for _, model in tables.TABLE_7} <= set(tables.TABLE_6)
    assert set(tables.PAPER_NAMES.values()) == set(tables.TABLE_6)
    assert set(tables.TABLE_7_THRESHOLDS) == {key for key in tables.TABLE_7 if key[0] in ("cfsm", "sscd")}
    for pairs, changed in tables.PAIRS_CHANGED.values():
        assert 0 < changed < pairs
    assert {split: 2 * pairs for split, (pairs, _) in tables.PAIRS_CHANGED.items()} == tables.SCENES
