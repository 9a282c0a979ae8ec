"""Multi-label metrics against scikit-learn, and their bootstrap against a plain loop."""

import numpy as np
import pytest
from sklearn import metrics as sk

from mtsccd_jax.ops import multilabel, multilabel_bootstrap
from mtsccd_jax.ops.threshold import OBJECTIVES, best_threshold


def _case(n: int, k: int, levels: int | None, seed: int, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores that know something of them; `levels` distinct scores, so that many are tied."""
    random = np.random.default_rng(seed)
    label = random.random((n, k)) < random.uniform(0.05, 0.5, k)
    score = random.normal(size=(n, k)) + 1.2 * label
    if levels:
        score = np.round(score * levels) / levels
    return label, score.astype(dtype)


def _with_odd_rows(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class 0 absent, class 1 in all examples but the emptied ones, class 2 never predicted, rows empty and full."""
    label = label.copy()
    label[:, 0], label[:, 1] = False, True
    label[3], label[4, 1:], label[5] = False, True, False
    score = score.copy()
    score[:, 2] = -9
    score[5] = -9
    score[7] = 0.25
    return label, score


# Most have one shape, so that few programs are compiled.
CASES = {
    "untied": _case(60, 5, None, 0),
    "tied": _case(60, 5, 2, 1),
    "all scores alike": (_case(60, 5, None, 2)[0], np.zeros((60, 5), np.float32)),
    "odd rows": _with_odd_rows(*_case(60, 5, 3, 3)),
    "float64 apart by one ulp": (
        _case(60, 5, None, 4)[0],
        1 + np.random.default_rng(4).integers(0, 40, (60, 5)) * np.finfo(float).eps,
    ),
    "zero and negative zero": (_case(60, 5, None, 5)[0], np.random.default_rng(5).choice([0.0, -0.0, 1.0], (60, 5))),
    "one example": (np.array([[True, False, True]]), np.array([[0.2, 0.7, 0.9]], np.float32)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    return CASES[request.param]


def _sk_decisions(label: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
    expected = {}
    for average in multilabel.AVERAGES:
        options = {"average": average, "zero_division": 0, "sample_weight": weight}
        for name, beta in (("f1", 1), ("f2", 2)):
            figures = sk.precision_recall_fscore_support(label, predicted, beta=beta, **options)
            expected[f"precision_{average}"], expected[f"recall_{average}"], expected[f"{name}_{average}"] = figures[:3]
    expected["hamming_loss"] = sk.hamming_loss(label, predicted, sample_weight=weight)
    expected["subset_accuracy"] = sk.accuracy_score(label, predicted, sample_weight=weight)
    return expected


def _sk_precisions(label: np.ndarray, score: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
    """Compute average precision class by class: scikit-learn warns of a class that never occurs, which has 0 here."""
    present = label.any(0) if weight is None else label[weight > 0].any(0)
    by_class = [
        sk.average_precision_score(label[:, c], score[:, c], sample_weight=weight) if present[c] else 0.0
        for c in range(label.shape[1])
    ]
    repeated = None if weight is None else np.repeat(weight, label.shape[1])
    micro = sk.average_precision_score(label.ravel(), score.ravel(), sample_weight=repeated) if present.any() else 0.0
    return {
        "ap_macro": np.mean(by_class),
        "ap_micro": micro,
        "ap_macro_present": np.sum(by_class) / max(1, present.sum()),
    }


def _sk_all(
    label: np.ndarray, score: np.ndarray, threshold: float, weight: np.ndarray | None = None
) -> dict[str, float]:
    return {
        **_sk_precisions(label, score, weight),
        **_sk_decisions(label, score >= threshold, weight),
        "coverage_error": sk.coverage_error(label, score, sample_weight=weight),
        "ranking_loss": sk.label_ranking_loss(label, score, sample_weight=weight),
    }


def test_every_metric_equals_scikit_learn(case):
    label, score = case
    found = multilabel.multilabel_metrics(label, score, 0.5)
    assert tuple(found) == multilabel.METRICS
    assert found == pytest.approx(_sk_all(label, score, 0.5), abs=1e-12)


def test_classes_equal_scikit_learn(case):
    label, score = case
    predicted = score >= 0.25
    counts = multilabel.decision_counts(label, predicted)
    np.testing.assert_array_equal(
        np.stack([counts.fp_k, counts.fn_k, counts.tp_k], 1),
        sk.multilabel_confusion_matrix(label, predicted).reshape(-1, 4)[:, 1:],
    )
    figures = multilabel.figures(*counts)
    assert tuple(figures) == multilabel.FIGURES
    for name, beta in (("f1", 1), ("f2", 2)):
        expected = sk.precision_recall_fscore_support(label, predicted, beta=beta, average=None, zero_division=0)
        for ours, theirs in zip((figures["precision"], figures["recall"], figures[name]), expected[:3], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)
    ap_k, _ = multilabel.average_precision(label, score)
    present = label.any(0)
    expected_ap = [sk.average_precision_score(label[:, c], score[:, c]) for c in np.flatnonzero(present)]
    np.testing.assert_allclose(ap_k[present], expected_ap, atol=1e-12)
    assert not ap_k[~present].any()


def test_conventions_where_nothing_is_defined():
    nothing = np.zeros((2, 3), bool)
    found = multilabel.multilabel_metrics(nothing, np.zeros((2, 3)), 0.5)
    assert found == {name: 1.0 if name == "subset_accuracy" else 0.0 for name in multilabel.METRICS}
    everything = multilabel.multilabel_metrics(~nothing, np.ones((2, 3)), 0.5)
    zeros = {"hamming_loss", "ranking_loss"}
    expected = {name: 3.0 if name == "coverage_error" else float(name not in zeros) for name in multilabel.METRICS}
    assert everything == expected


def test_macro_f1_is_the_mean_of_f1_and_ap_names_tell_absent_classes_apart():
    label = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])
    score = np.array([[0.9, 0.1, 0.1], [0.9, 0.9, 0.1], [0.1, 0.2, 0.1], [0.1, 0.3, 0.1]])
    found = multilabel.multilabel_metrics(label, score)
    assert found["f1_macro"] == pytest.approx((1 + 0 + 0) / 3)
    # Class 1 is found at places 2 and 3 of its order, class 2 never occurs.
    ap = (1 / 2 + 2 / 3) / 2
    assert found["ap_macro"] == pytest.approx((1 + ap + 0) / 3)
    assert found["ap_macro_present"] == pytest.approx((1 + ap) / 2)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_thresholds_of_all_classes_are_those_of_each(case, objective):
    label, score = case
    found = multilabel.class_thresholds(label, score, objective)
    for column in range(label.shape[1]):
        single = best_threshold(score[:, column], label[:, column], objective)
        assert found.threshold_k[column] == single.threshold
        assert tuple(found.confusion_k4[column]) == single.confusion
        assert (found.value_k[column], found.degenerate_k[column]) == (single.value, single.degenerate)
    counts = multilabel.decision_counts(label, multilabel.decide(score, found.threshold_k))
    np.testing.assert_array_equal(np.stack([counts.fp_k, counts.fn_k, counts.tp_k], 1), found.confusion_k4[:, 1:])
    assert (found.confusion_k4.sum(1) == len(label)).all()


def test_thresholds_do_not_depend_on_how_many_classes_are_searched_at_once(monkeypatch):
    label, score = _case(60, 5, None, 10)
    whole = multilabel.class_thresholds(label, score)
    monkeypatch.setattr(multilabel, "_CUT_ELEMENTS", 2 * 60)
    np.testing.assert_array_equal(multilabel.class_thresholds(label, score).threshold_k, whole.threshold_k)


def _draws(n: int, resamples: int, seed: int) -> np.ndarray:
    """Count how often each example is drawn, by a plain loop over the same generator."""
    random = np.random.default_rng(seed)
    weight = np.zeros((resamples, n), int)
    for row in weight:
        for example in random.integers(0, n, n):
            row[example] += 1
    return weight


@pytest.mark.parametrize("name", ["tied", "odd rows", "one example"])
def test_bootstrap_equals_a_loop_over_repeated_examples(name):
    label, score = CASES[name]
    found = multilabel_bootstrap.bootstrap_metrics(label, score, 0.5, resamples=7, seed=3)
    assert tuple(found) == multilabel.METRICS
    for resample, weight in enumerate(_draws(len(label), 7, 3)):
        rows = np.repeat(np.arange(len(label)), weight)
        one = {metric: values[resample] for metric, values in found.items()}
        assert one == pytest.approx(multilabel.multilabel_metrics(label[rows], score[rows], 0.5), abs=1e-12)
        assert one == pytest.approx(_sk_all(label, score, 0.5, weight), abs=1e-9)


def test_tiles_of_the_bootstrap_change_nothing(monkeypatch):
    label, score = CASES["tied"]
    whole = multilabel_bootstrap.bootstrap_metrics(label, score, resamples=7, seed=1)
    monkeypatch.setattr(multilabel_bootstrap, "_MOST_ABREAST", 3)
    monkeypatch.setattr(multilabel_bootstrap, "_PRODUCT_ROWS", 64)
    tiled = multilabel_bootstrap.bootstrap_metrics(label, score, resamples=7, seed=1)
    for metric, values in whole.items():
        np.testing.assert_allclose(tiled[metric], values, atol=1e-13)
    fewer = multilabel_bootstrap.bootstrap_metrics(label, score, resamples=4, seed=1, metrics=["ap_micro", "f2_macro"])
    assert list(fewer) == ["ap_micro", "f2_macro"]
    for metric, values in fewer.items():
        np.testing.assert_allclose(values, whole[metric][:4], atol=1e-13)


def test_paired_differences_are_those_of_a_loop():
    label, a = CASES["tied"]
    b = _case(60, 5, 2, 11)[1]
    found = multilabel_bootstrap.paired_differences(label, a, b, 0.5, 0.25, resamples=20, seed=2, level=0.8)
    plain = []
    for weight in _draws(60, 20, 2):
        rows = np.repeat(np.arange(60), weight)
        figures = [multilabel.multilabel_metrics(label[rows], s[rows], t) for s, t in ((a, 0.5), (b, 0.25))]
        plain.append({metric: figures[0][metric] - figures[1][metric] for metric in multilabel.METRICS})
    for metric in multilabel.METRICS:
        low, high = np.quantile([difference[metric] for difference in plain], [0.1, 0.9])
        assert found[metric][1:] == pytest.approx((low, high), abs=1e-12)
    expected = sk.average_precision_score(label, a, average="macro") - sk.average_precision_score(
        label, b, average="macro"
    )
    assert found["ap_macro"].value == pytest.approx(expected, abs=1e-12)
    exchanged = multilabel_bootstrap.paired_differences(label, b, a, 0.25, 0.5, resamples=20, seed=2, level=0.8)
    for metric, (value, low, high) in found.items():
        assert exchanged[metric] == pytest.approx((-value, -high, -low), abs=1e-12)


def test_pairing_narrows_the_interval_and_a_model_does_not_differ_from_itself():
    label, a = _case(60, 5, None, 12)
    b = a + np.random.default_rng(0).normal(size=a.shape).astype(np.float32) * 0.2
    options = {"metrics": ["ap_macro", "f1_micro"], "resamples": 100}
    paired = multilabel_bootstrap.paired_differences(label, a, b, **options)
    for metric, (low, high) in multilabel_bootstrap.bootstrap_intervals(label, a, **options).items():
        assert paired[metric].high - paired[metric].low < 0.7 * (high - low)
        assert low < multilabel.multilabel_metrics(label, a)[metric] < high
    same = multilabel_bootstrap.paired_differences(label, a, a, **options)
    assert set(same.values()) == {(0.0, 0.0, 0.0)}


GOOD = np.array([[0, 1], [1, 0]]), np.array([[0.1, 0.9], [0.8, 0.2]])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: multilabel.multilabel_metrics(np.zeros((0, 3), bool), np.zeros((0, 3))), "holds no example"),
        (lambda: multilabel.multilabel_metrics([[1, 0]], [[1.0]]), r"matrices of one shape.*\(1, 2\) and \(1, 1\)"),
        (lambda: multilabel.average_precision([1, 0], [1.0, 0.0]), "matrices of one shape, examples x classes"),
        (lambda: multilabel.average_precision([[1, 2]], [[1.0, 2.0]]), r"label_nk\[0, 1\] is 2: labels are 0"),
        (lambda: multilabel.average_precision([[1, 0]], [[np.nan, 2.0]]), r"score_nk\[0, 0\] is nan: scores must"),
        (lambda: multilabel.ranking_metrics([[1, 0]], [[0.0, np.inf]]), r"score_nk\[0, 1\] is inf"),
        (lambda: multilabel.ranking_metrics([[1, 0]], [["a", "b"]]), "score_nk must hold real numbers"),
        (lambda: multilabel.decision_metrics([[1, 0]], [[0.5, 1]]), r"predicted_nk\[0, 0\] is 0.5"),
        (
            lambda: multilabel.decision_counts([[1, 0]], [[1]]),
            "label_nk and predicted_nk must be matrices of one shape",
        ),
        (lambda: multilabel.class_thresholds(*GOOD, "f3"), "unknown objective 'f3'"),
        (lambda: multilabel_bootstrap.bootstrap_metrics(*GOOD, metrics=["f1"]), "unknown metric 'f1', known are ap_m"),
        (lambda: multilabel_bootstrap.bootstrap_metrics(*GOOD, metrics=[]), "no metric is asked for"),
        (lambda: multilabel_bootstrap.bootstrap_metrics(*GOOD, resamples=0), "resamples must be at least 1, got 0"),
        (lambda: multilabel_bootstrap.bootstrap_intervals(*GOOD, level=95), "level is a coverage between 0 and 1"),
        (lambda: multilabel_bootstrap.paired_differences(*GOOD, GOOD[1][:1]), "matrices of one shape"),
    ],
)
def test_bad_input_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()
