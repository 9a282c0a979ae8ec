"""SVMs against scikit-learn's LinearSVC and SVC, and the optimality conditions of the objective."""

import jax
import numpy as np
import pytest
from sklearn.svm import SVC, LinearSVC

from mtsccd_jax.ops import svm, svm_solver


def _examples(n: int, width: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features as a network gives them, none negative, of classes that overlap."""
    random = np.random.default_rng(seed)
    label = random.integers(0, classes, n)
    hidden = 0.7 * random.standard_normal((classes, 8))[label] + random.standard_normal((n, 8))
    feature = hidden @ random.standard_normal((8, width)) + 0.5 * random.standard_normal((n, width))
    return np.maximum(feature, 0).astype(np.float32), label


def _objective(
    weight_d: np.ndarray, bias: float, feature_nd: np.ndarray, positive_n: np.ndarray, c: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return `(objective, its gradient, decision values)` of one class, in float64."""
    weight = np.append(weight_d, bias).astype(np.float64)
    feature = np.pad(feature_nd.astype(np.float64), ((0, 0), (0, 1)), constant_values=1)
    sign = np.where(positive_n, 1, -1)
    slack = np.maximum(1 - sign * (feature @ weight), 0)
    return weight @ weight / 2 + c * slack @ slack, weight - 2 * c * feature.T @ (sign * slack), feature @ weight


def _linear_svc(feature_nd: np.ndarray, label_n: np.ndarray, classes: int, c: float) -> list[LinearSVC]:
    """Fit scikit-learn's machine for each class."""
    return [LinearSVC(C=c, dual=False, tol=1e-9, max_iter=20_000).fit(feature_nd, label_n == k) for k in range(classes)]


@pytest.mark.parametrize(
    ("n", "width", "classes", "c"),
    [(300, 10, 3, 1.0), (300, 10, 3, 0.001), (200, 400, 4, 0.01), (200, 400, 4, 10.0), (150, 30, 2, 1.0)],
)
def test_objective_and_decisions_are_those_of_linear_svc(n, width, classes, c):
    feature, label = _examples(n, width, classes)
    fit = svm.fit_linear(feature, label, classes, c)
    assert fit.converged
    decision = np.asarray(fit.svm.scores(feature))
    for k, peer in enumerate(_linear_svc(feature, label, classes, c)):
        best, _, peer_decision = _objective(peer.coef_[0], peer.intercept_[0], feature, label == k, c)
        ours, gradient, exact = _objective(fit.svm.weight_kd[k], fit.svm.bias_k[k], feature, label == k, c)
        assert ours == pytest.approx(best, rel=1e-4)
        assert fit.objective_k[k] == pytest.approx(ours, rel=1e-5)
        assert gradient @ gradient / 2 <= 1e-2 * ours  # strong convexity bounds the gradient so
        np.testing.assert_allclose(decision[:, k], exact, atol=1e-4)
        np.testing.assert_allclose(decision[:, k], peer_decision, atol=5e-3)


@pytest.mark.parametrize("rows", [64, 16])
def test_preconditioned_steps_end_where_plain_ones_do(rows, monkeypatch):
    feature, label = _examples(300, 200, 3, seed=2)
    monkeypatch.setattr(svm_solver, "_cost", lambda rows, width: np.inf)
    plain = svm.fit_linear(feature, label, 3, 3.0)
    made, programs = [], svm_solver._programs(None)

    def factor(feature_nd, active_kn, c, _):
        made.append(rows)
        return programs.factor(feature_nd, active_kn, c, rows)

    monkeypatch.setattr(svm_solver, "_cost", lambda rows, width: 0)
    monkeypatch.setattr(svm_solver, "_programs", lambda mesh: programs._replace(factor=factor))
    fit = svm.fit_linear(feature, label, 3, 3.0)
    assert made, "no step was preconditioned"
    assert plain.converged
    assert fit.converged
    np.testing.assert_allclose(fit.objective_k, plain.objective_k, rtol=1e-5)


@pytest.mark.parametrize("c", [0.1, 30.0])  # the larger one with a preconditioner
def test_devices_that_share_the_rows_find_the_same_hyperplanes(c, monkeypatch):
    monkeypatch.setattr(svm_solver, "_cost", lambda rows, width: 0)
    feature, label = _examples(302, 40, 3)
    mask = np.arange(302) % 100 != 7
    mesh = jax.make_mesh((2,), ("row",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    spread = jax.device_put(feature, jax.NamedSharding(mesh, jax.P("row")))
    many, one = (
        svm.fit_linear(spread, label, 3, c, mask_n=mask),
        svm.fit_linear(feature[mask], label[mask], 3, c),
    )
    assert many.converged
    np.testing.assert_allclose(many.objective_k, one.objective_k, rtol=1e-5)
    np.testing.assert_allclose(many.svm.scores(feature), one.svm.scores(feature), atol=2e-3)


def test_start_and_blocks_do_not_change_the_result(monkeypatch):
    feature, label = _examples(200, 20, 3)
    cold = svm.fit_linear(feature, label, 3, 1.0)
    warm = svm.fit_linear(feature, label, 3, 1.0, start=svm.fit_linear(feature, label, 3, 0.1).svm)
    np.testing.assert_allclose(warm.objective_k, cold.objective_k, rtol=1e-5)
    assert svm.fit_linear(feature, label, 3, 1.0, start=cold.svm).iterations == 1
    monkeypatch.setattr(svm_solver, "_BLOCK_ROWS", 32)
    feature, label = feature[:190], label[:190]
    expected = [
        _objective(peer.coef_[0], peer.intercept_[0], feature, label == k, 1.0)[0]
        for k, peer in enumerate(_linear_svc(feature, label, 3, 1.0))
    ]
    np.testing.assert_allclose(svm.fit_linear(feature, label, 3, 1.0).objective_k, expected, rtol=1e-4)


def test_an_absent_class_is_never_named():
    feature, label = _examples(200, 20, 3)
    fit = svm.fit_linear(feature, label, 5, 1.0)
    assert fit.converged
    assert fit.svm.weight_kd.shape == (5, 20)
    assert np.asarray(fit.svm.scores(feature)).argmax(1).max() == 2


def test_duplicates_constants_and_one_column():
    feature = np.repeat(np.array([[0.0], [1.0], [3.0]], np.float32), 30, 0)
    label = np.repeat([0, 1, 1], 30)
    fit = svm.fit_linear(feature, label, 2, 100.0)
    assert fit.converged
    np.testing.assert_array_equal(np.asarray(fit.svm.scores(feature)).argmax(1), label)
    same = svm.fit_linear(np.zeros((4, 3)), [0, 1, 1, 1], 2)  # nothing to learn from but the bias
    assert same.converged
    assert np.asarray(same.svm.scores(np.zeros((1, 3)))).argmax() == 1


def test_a_search_that_is_cut_short_has_not_converged():
    feature, label = _examples(200, 30, 3)
    fit = svm.fit_linear(feature, label, 3, 10.0, max_iterations=2)
    assert (fit.converged, fit.iterations) == (False, 2)
    kernel = svm.fit_kernel(feature, label, 3, 10.0, max_iterations=2)
    assert (kernel.converged, kernel.iterations) == (False, 2)


@pytest.mark.parametrize(
    ("kernel", "peer"), [("rbf", "rbf"), ("intersection", lambda x, y: np.minimum(x[:, None], y).sum(-1))]
)
def test_kernels_are_those_of_scikit_learn(kernel, peer):
    feature, label = _examples(150, 10, 4)
    test, _ = _examples(20, 10, 4, seed=1)
    fit = svm.fit_kernel(feature, label, 4, 0.5, kernel=kernel)
    assert fit.converged
    expected = SVC(C=0.5, kernel=peer).fit(feature, label).decision_function(test)
    np.testing.assert_allclose(fit.svm.scores(test), expected, atol=1e-3)


@pytest.mark.parametrize("kernel", ["rbf", "intersection"])
def test_kernels_of_two_classes_among_more(kernel):
    feature, label = _examples(100, 10, 2)
    score = np.asarray(svm.fit_kernel(feature, 2 * label + 1, 5, kernel=kernel).svm.scores(feature))
    assert score.shape == (100, 5)
    assert set(score.argmax(1)) == {1, 3}
    np.testing.assert_allclose(score[:, 1], -score[:, 3])


GOOD = np.arange(8.0).reshape(4, 2)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: svm.fit_linear([1.0, 2.0], [0, 1], 2), "feature_nd must be a matrix"),
        (lambda: svm.fit_linear(np.zeros((0, 3)), [], 2), r"got shape \(0, 3\)"),
        (lambda: svm.fit_linear(np.array([["a"], ["b"]]), [0, 1], 2), "feature_nd must hold real numbers"),
        (lambda: svm.fit_linear([[1.0], [np.nan]], [0, 1], 2), "larger than float32 values, first in row 1"),
        (lambda: svm.fit_linear(GOOD, [0, 1, 2, 1], 2), r"label_n\[2\] is 2, outside 0 to 1"),
        (lambda: svm.fit_linear(GOOD, [0, 1, -1, 1], 2), r"label_n\[2\] is -1"),
        (lambda: svm.fit_linear(GOOD, [0.0, 1, 0, 1], 2), "label_n must hold integers"),
        (lambda: svm.fit_linear(GOOD, [0, 1], 2), "got 4 and 2"),
        (lambda: svm.fit_linear(GOOD, [1, 1, 1, 1], 2), "needs examples of two classes, all 4 are of class 1"),
        (lambda: svm.fit_linear(GOOD, [0, 1, 0, 1], 2, 0), "c must be a positive number, got 0"),
        (lambda: svm.fit_linear(GOOD, [0, 1, 0, 1], 2, tolerance=np.nan), "tolerance must be a positive number"),
        (lambda: svm.fit_linear(GOOD, [0, 1, 0, 1], 2, max_iterations=0), "max_iterations must be at least 1"),
        (lambda: svm.fit_linear(GOOD, [0, 1, 0, 1], 2, start=svm.LinearSVM(GOOD, GOOD[0])), "start must have weights"),
        (lambda: svm.fit_kernel(GOOD, [0, 1, 0, 1], 2, kernel="poly"), "unknown kernel 'poly', known are rbf, inter"),
        (lambda: svm.fit_kernel(-GOOD, [0, 1, 0, 1], 2, kernel="intersection"), "must not be negative"),
        (lambda: svm.fit_linear(GOOD, [0, 1, 0, 1], 2).svm.scores(np.zeros((1, 3))), "feature_nd must be of width 2"),
    ],
)
def test_bad_input_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()
