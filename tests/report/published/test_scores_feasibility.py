"""Which scores of several classes or labels are possible, against all tables of a few examples."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, precision_recall_fscore_support

from mtsccd_jax.report.published.class_example import classes_with
from mtsccd_jax.report.published.confusion_feasibility import kappa_bound, kappa_lower_bound
from mtsccd_jax.report.published.label_example import labels_with
from mtsccd_jax.report.published.scores_feasibility import (
    FIGURES,
    Scores,
    decide,
    exact_scores,
    f1_bounds,
    kappa_bounds,
)

HALF = Fraction(1, 20_000)


def compositions(n, parts):
    """All ways to write n as a sum of so many counts."""
    for bars in itertools.combinations(range(n + parts - 1), parts - 1):
        ends = (-1, *bars, n + parts - 1)
        yield [ends[i + 1] - ends[i] - 1 for i in range(parts)]


def counts_of(confusion):
    """tp, fp, fn of every class of a confusion matrix."""
    hits = np.diag(confusion)
    return hits.tolist(), (confusion.sum(0) - hits).tolist(), (confusion.sum(1) - hits).tolist()


@pytest.fixture(scope="module")
def three_classes():
    """The counts and scores of every confusion matrix of three classes and five examples."""
    tables = [counts_of(np.reshape(cells, (3, 3))) for cells in compositions(5, 9)]
    return [(table, *exact_scores(*table)) for table in tables]


@pytest.fixture(scope="module")
def two_labels():
    """The counts and scores of every table of two labels and four examples."""
    one = [cells[:3] for cells in compositions(4, 4)]
    tables = [tuple(map(list, zip(a, b, strict=True))) for a, b in itertools.product(one, one)]
    return [(table, *exact_scores(*table)) for table in tables]


def some_table_prints(tables, scores):
    """Whether one of all tables prints as the scores, rounded or cut off."""

    def fits(rounding):
        def prints(own, value):
            if rounding == "nearest":
                return abs(own - Fraction(round(value * 10_000), 10_000)) <= HALF
            return int(own * 10_000) == round(value * 10_000)

        for (tp, _, fn), values, by_class in tables:
            if scores.counts and [t + m for t, m in zip(tp, fn, strict=True)] != [*scores.counts]:
                continue
            if all(prints(values[name], value) for name, value in scores.values.items()) and all(
                prints(own, value)
                for figure, given in scores.by_class.items()
                for value, own in zip(given, by_class[figure], strict=True)
            ):
                return True
        return False

    return fits("nearest") or fits("down")


def rounded(value):
    return round(float(value), 4)


def drawn_scores(random, tables, k, n, several):
    """Scores of a random table, of which some are often replaced by those of another."""
    (tp, _, fn), values, by_class = tables[random.integers(len(tables))]
    _, other_values, other_by_class = tables[random.integers(len(tables))]
    names = [f"{figure}_{average}" for figure in FIGURES for average in ("micro", "macro")]
    names += [] if several else ["oa", "kappa"]
    chosen = random.choice(names, 2, replace=False)
    figure = str(random.choice(FIGURES))
    mixed = random.random() < 0.5
    return Scores(
        k=k,
        several=several,
        n=n,
        counts=tuple(t + m for t, m in zip(tp, fn, strict=True)) if random.random() < 0.7 else None,
        values={str(name): rounded((other_values if mixed and i else values)[name]) for i, name in enumerate(chosen)},
        by_class={figure: tuple(map(rounded, (other_by_class if mixed else by_class)[figure]))}
        if random.random() < 0.5
        else {},
    )


@pytest.mark.parametrize(("kind", "k", "n"), [("three_classes", 3, 5), ("two_labels", 2, 4)])
def test_decisions_are_those_of_trying_every_table(request, kind, k, n):
    tables, random = request.getfixturevalue(kind), np.random.default_rng(5)
    decided = {}
    for _ in range(150):
        scores = drawn_scores(random, tables, k, n, kind == "two_labels")
        state, exists = decide(scores).state, some_table_prints(tables, scores)
        assert {"possible": exists, "not_decided": True}.get(state, not exists), (scores, state)
        decided[state] = decided.get(state, 0) + 1
    assert decided["possible"] > 20
    assert decided["impossible"] + decided["no_table"] > 20
    assert decided.get("not_decided", 0) < 60


def test_overall_accuracy_and_kappa_of_classes_without_counts_are_mostly_decided():
    random, states = np.random.default_rng(9), []
    for _ in range(30):
        k = int(random.integers(3, 20))
        confusion = random.integers(0, 20, (k, k)) + np.diag(random.integers(0, 20 * k, k))
        values, _ = exact_scores(*counts_of(confusion))
        printed = {name: rounded(values[name]) for name in ("oa", "kappa")}
        states.append(decide(Scores(k=k, several=False, n=int(confusion.sum()), values=printed)).state)
    assert "impossible" not in states
    assert "no_table" not in states
    assert states.count("possible") > 25


@pytest.mark.parametrize("kappa", [-0.1, 0.0, 0.4, 0.66])
def test_an_example_of_classes_has_hits_and_kappa(kappa):
    tp, fp, fn = classes_with(700, 1000, 10, (kappa - 5e-4, kappa + 5e-4))
    values, _ = exact_scores(tp, fp, fn)
    assert (sum(tp), sum(tp) + sum(fn), sum(fp)) == (700, 1000, 300)
    assert max(p + m for p, m in zip(fp, fn, strict=True)) <= 300, "else there is no such confusion matrix"
    assert float(values["kappa"]) == pytest.approx(kappa, abs=5e-4)
    assert classes_with(700, 1000, 10, (0.9, 0.91)) is None


def test_micro_and_macro_averages_of_labels_of_any_number_are_mostly_decided():
    random, states = np.random.default_rng(8), []
    for _ in range(80):
        k = int(random.integers(2, 12))
        rate = random.uniform(0.3, 0.9, (2, k))
        size = (10 ** random.uniform(2, 4, k)).astype(int)
        tp = (size * rate[0]).astype(int)
        fp, fn = (tp * (1 / rate[1] - 1)).astype(int), size - tp
        values, _ = exact_scores(tp.tolist(), fp.tolist(), fn.tolist())
        names = random.choice(
            [n for n in values if n not in ("oa", "kappa")], int(random.integers(2, 7)), replace=False
        )
        scores = Scores(k=k, several=True, values={str(name): rounded(values[name]) for name in names})
        states.append(decide(scores).state)
    assert "impossible" not in states
    assert states.count("possible") > 60


def test_an_example_of_labels_has_the_averages():
    macro = {"precision": 0.7, "recall": 0.6, "f1": 0.6}
    table = labels_with(macro, 0.8, 0.75, 19)
    values, _ = exact_scores(*table)
    assert {name: float(values[f"{name}_macro"]) for name in macro} == pytest.approx(macro, abs=1e-6)
    assert float(values["precision_micro"]) == pytest.approx(0.8, abs=1e-6)
    assert float(values["recall_micro"]) == pytest.approx(0.75, abs=1e-6)
    assert labels_with({"precision": 0.1, "f1": 0.5}, 0.5, 0.5, 19) is None, "F1 is at most twice the precision"


def test_what_is_linear_is_always_decided(three_classes):
    random = np.random.default_rng(6)
    for _ in range(60):
        (tp, _, fn), values, by_class = three_classes[random.integers(len(three_classes))]
        counts = tuple(t + m for t, m in zip(tp, fn, strict=True))
        kappa = rounded(values["kappa"]) + random.choice([0, 0, 0.05])
        scores = Scores(
            k=3,
            several=False,
            n=5,
            counts=counts,
            values={"oa": rounded(values["oa"]), "kappa": min(kappa, 1.0)},
            by_class={"f1": tuple(map(rounded, by_class["f1"]))},
        )
        assert decide(scores).state != "not_decided"


def test_scores_are_those_of_scikit_learn():
    random = np.random.default_rng(1)
    label, prediction = random.integers(0, 4, 90), random.integers(0, 4, 90)
    confusion = np.zeros((4, 4), int)
    np.add.at(confusion, (label, prediction), 1)
    values, by_class = exact_scores(*counts_of(confusion))
    assert float(values["kappa"]) == pytest.approx(cohen_kappa_score(label, prediction))
    for average in ("micro", "macro"):
        expected = precision_recall_fscore_support(label, prediction, average=average)[:3]
        assert [float(values[f"{figure}_{average}"]) for figure in FIGURES] == pytest.approx(expected)
    expected = precision_recall_fscore_support(label, prediction)[:3]
    np.testing.assert_allclose([list(map(float, by_class[figure])) for figure in FIGURES], expected)


def test_kappa_bounds_hold_for_every_table_and_are_those_of_two_classes(three_classes):
    for oa in (0.0, 0.3, 0.8163, 1.0):
        assert kappa_bounds(oa, 2) == pytest.approx((kappa_lower_bound(oa), kappa_bound(oa)))
    for _, values, _ in three_classes:
        low, high = kappa_bounds(float(values["oa"]), 3)
        assert low - 1e-12 <= values["kappa"] <= high + 1e-12


@pytest.mark.parametrize("k", [3, 5, 10])
@pytest.mark.parametrize("oa", [0.05, 0.4, 0.9])
def test_kappa_bounds_are_reached(k, oa):
    # Shares of truth and prediction that the docstring describes, with kappa by its definition.
    low, high = kappa_bounds(oa, k)
    errors = 1 - oa
    hit = max(0.0, (oa - (k - 2) * errors / 2) / k)
    hits = np.array([hit, hit, *[(oa - 2 * hit) / (k - 2)] * (k - 2)])
    chance = (hits + np.eye(k)[0] * errors) @ (hits + np.eye(k)[1] * errors)
    assert (oa - chance) / (1 - chance) == pytest.approx(high)
    halves = np.array([oa + errors / 2, errors / 2, *[0] * (k - 2)])
    assert (oa - halves @ halves) / (1 - halves @ halves) == pytest.approx(low)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_f1_bounds_hold_for_random_classes_and_are_reached(k):
    random = np.random.default_rng(k)
    for _ in range(200):
        p_k, r_k = random.random((2, k)) ** random.choice([0.2, 1, 5])
        low, high = f1_bounds(p_k.mean(), r_k.mean(), k)
        assert low - 1e-12 <= (2 * p_k * r_k / (p_k + r_k)).mean() <= high + 1e-12
    assert f1_bounds(0.6, 0.6, k)[1] == pytest.approx(0.6)
    # Precision (1, 1, 0.5), recall (0, 1, 1) of three classes: two meet at 1 and at 2 x 0.5 / 1.5.
    assert f1_bounds(2.5 / 3, 2 / 3, 3)[0] == pytest.approx((1 + 2 / 3) / 3)


def test_what_cannot_be_is_said_with_its_reason():
    classes = {"k": 3, "several": False}
    labels = {"k": 19, "several": True, "decimals": 2}
    assert decide(Scores(**classes, values={"oa": 0.9, "kappa": 0.95})).reason.startswith("kappa is at most 0.8")
    assert decide(Scores(**classes, values={"oa": 0.5, "kappa": -0.9})).reason == "kappa is too low for this OA"
    macro = {"precision_macro": 0.6, "recall_macro": 0.7, "f1_macro": 0.7}
    assert decide(Scores(**labels, values=macro)).reason == "macro F1 is at most 0.6512 with these macro averages"
    macro = {"precision_macro": 0.95, "recall_macro": 0.95, "f1_macro": 0.8}
    assert decide(Scores(**labels, values=macro)).reason.startswith("macro F1 is at least 0.8")
    micro = {"precision_micro": 0.6, "recall_micro": 0.7, "f1_micro": 0.7}
    assert decide(Scores(**labels, values=micro)).state == "impossible"
    assert decide(Scores(**labels, values=micro | {"f1_micro": 0.65})).state == "possible"


def test_a_score_that_only_cutting_off_explains_is_possible():
    # 2 of 3 examples right is 0.6667; 0.6666 is the same cut off.
    found = decide(Scores(k=3, several=False, n=3, counts=(1, 1, 1), values={"oa": 0.6666}))
    assert found == ("possible", "if cut off, not rounded")
