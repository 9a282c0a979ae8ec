"""The paper's tables and the audit, against brute force in rational arithmetic and scikit-learn."""

from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from mtsccd_jax.report import binary_tables, published
from tfds_builders import mtsccd


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


def test_table_7_has_16_impossible_kappas_and_5_all_unchanged_entries():
    entries = published.audit()
    assert len(entries) == 46
    assert sum(not entry.possible for entry in entries) == 16
    assert {entry.model for entry in entries if not entry.possible} == {
        "DenseNet",
        "EfficientNet",
        "SENet",
        "SwinT",
        "ViT",
    }
    idle = {(entry.model, entry.split) for entry in entries if entry.all_unchanged}
    assert idle == {
        ("DenseNet", "test_a"),
        ("EfficientNet", "test_a"),
        ("EfficientNet", "test_b"),
        ("ViT", "test_a"),
        ("ViT", "test_b"),
    }
    assert {entry.method for entry in entries if entry.all_unchanged} == {"cfsm"}


def test_recovered_tables_of_table_7_give_both_printed_numbers_and_are_the_only_ones():
    recovered = [entry for entry in published.audit() if entry.tables]
    assert len(recovered) == 22
    for entry in recovered:
        (table,) = entry.tables
        _, fp, fn, tp = table
        assert (sum(table), fn + tp) == published.PAIRS_CHANGED[entry.split]
        oa, kappa = exact(*table)
        assert prints_as(oa, entry.oa, "nearest")
        assert prints_as(kappa, entry.kappa, "nearest")
        # Every other table of that prevalence with the same number of errors, by floats.
        pairs, changed = published.PAIRS_CHANGED[entry.split]
        other_fp = np.arange(max(0, fp + fn - changed), fp + fn + 1)
        kappas = [float(exact(pairs - changed - f, f, fp + fn - f, changed - fp - fn + f)[1]) for f in other_fp]
        assert sum(abs(value - entry.kappa) <= 0.5e-4 for value in kappas) == 1


def test_a_recovered_table_is_what_scikit_learn_calls_that_accuracy_and_kappa():
    entry = next(e for e in published.audit() if (e.method, e.model, e.split) == ("sscd", "VGG16", "test_a"))
    tn, fp, fn, tp = entry.tables[0]
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
        assert binary_tables.integer_tables(*printed, n, positives, rounding) == expected
        for other in (printed[1] + 0.0137, printed[1] - 0.02):
            assert binary_tables.integer_tables(printed[0], other, n, positives, rounding) == brute_force(
                printed[0], other, n, positives, rounding
            )


def test_bounds_on_kappa_hold_for_every_table_of_30_and_are_reached():
    gap = []
    for tn in range(31):
        for fp in range(31 - tn):
            for fn in range(31 - tn - fp):
                oa, kappa = exact(tn, fp, fn, 30 - tn - fp - fn)
                if kappa is not None:
                    assert binary_tables.kappa_lower_bound(float(oa)) - 1e-12 <= kappa
                    assert kappa <= binary_tables.kappa_bound(float(oa)) + 1e-12
                    gap.append(binary_tables.kappa_bound(float(oa)) - float(kappa))
                    assert binary_tables.is_possible(round(float(oa), 4), round(float(kappa), 4))
                    assert binary_tables.is_possible(
                        round(float(oa), 4), round(float(kappa), 4), 30, fn + 30 - tn - fp - fn
                    )
    assert min(gap) < 1e-12


def test_is_possible_knows_more_with_n_and_positives():
    assert not binary_tables.is_possible(0.8163, 0.8163)
    assert binary_tables.is_possible(0.6881, 0.2780)  # within the bound ...
    assert not binary_tables.is_possible(
        0.6881, 0.2780, *published.PAIRS_CHANGED["test_a"]
    )  # ... but no table prints so
    assert binary_tables.is_possible(0.5, 0.1, 10)
    assert not binary_tables.is_possible(0.55, 0.05, 10)
    assert binary_tables.is_possible(0.8163, 0.0, 5078, 933)  # never "changed"
    assert binary_tables.is_possible(0.6666, 0.0, 3)  # cut off, not rounded


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
        binary_tables.is_possible(*arguments)


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


def test_what_the_paper_does_not_have_is_none():
    assert published.scene("resnet34", "test_a") is None
    assert published.scene("vit_ti16", "test_a") is None
    assert published.scene("resnet18", "validation") is None
    assert published.change("cfsm", "resnet18", "test_a") is None
    assert published.change("cdc_2", "vit_b16", "test_a") is None


def test_a_network_of_another_width_is_none_of_the_papers():
    assert published.paper_name("resnet18", width=0.25) is None
    assert published.scene("resnet18", "test_a", width=0.25) is None
    assert published.change("cfsm", "alexnet", "test_a", width=0.25) is None
    assert published.change("cfsm", "alexnet", "test_a", width=1.0) == published.change("cfsm", "alexnet", "test_a")


def test_tables_agree_with_each_other():
    assert {model for _, model in published.TABLE_7} <= set(published.TABLE_6)
    assert set(published.PAPER_NAMES.values()) == set(published.TABLE_6)
    assert set(published.TABLE_7_THRESHOLDS) == {key for key in published.TABLE_7 if key[0] in ("cfsm", "sscd")}
    for pairs, changed in published.PAIRS_CHANGED.values():
        assert 0 < changed < pairs
    assert {split: 2 * pairs for split, (pairs, _) in published.PAIRS_CHANGED.items()} == published.SCENES


def test_what_the_builders_know_as_well_is_the_same():
    """The report imports nothing of the builders, which may not be there where rows are."""
    assert published.TABLE_5 == mtsccd.TABLE_5
    assert {split: pairs for split, (pairs, _) in published.PAIRS_CHANGED.items()} == {
        split: mtsccd.TABLE_4_PAIRS[split] for split in published.PAIRS_CHANGED
    }
    assert {split: sum(mtsccd.TABLE_3[split]) for split in published.SCENES} == published.SCENES
