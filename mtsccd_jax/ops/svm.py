"""One-vs-rest support vector machines: linear ones solved here, kernel ones by scikit-learn.

Each class of a linear SVM minimises LIBLINEAR's primal objective with the squared hinge. The bias is the weight of one
more feature, of value 1:

    f(w, b) = |w|^2/2 + b^2/2 + c sum_i max(0, 1 - y_i (w x_i + b))^2,    y_i = 1 in the class, -1 outside it

This is what scikit-learn's `LinearSVC(dual=False, intercept_scaling=1)` minimises. All classes are solved at once on
the device (`ops.svm_solver`).
"""

import warnings
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Bool, Float32, Float64, Real, Shaped

from mtsccd_jax.ops.calls import (
    check_at_least_one,
    check_known,
    class_vector,
    divided,
    flags,
    leading,
    own_settings,
    padded,
    real_rows,
    row_bucket,
    row_mesh,
)
from mtsccd_jax.ops.svm_solver import minimise, scores

KERNELS = ("rbf", "intersection")
_INTERSECTION_ELEMENTS = 1 << 22  # minima taken at once: 16 MiB of float32


class LinearSVM(NamedTuple):
    """One hyperplane a class."""

    weight_kd: Float32[Array, "k d"]
    bias_k: Float32[Array, " k"]

    @own_settings()
    def scores(self, feature_nd: Real[ArrayLike, "n d"]) -> Float32[Array, "n k"]:
        """Return the decision values; the largest of an example tells its class.

        Raises:
            ValueError: no matrix of the fitted width, NaN or infinite values.
        """
        feature_nd = real_rows("feature_nd", feature_nd, self.weight_kd.shape[1])
        weight_ke = jnp.concatenate([self.weight_kd, self.bias_k[:, None]], 1)
        n = len(feature_nd)
        return leading(_linear_scores(padded(feature_nd, row_bucket(n)), weight_ke), n)


class KernelSVM(NamedTuple):
    """A fitted `SVC` of scikit-learn for features of this width, with the interface of `LinearSVM`."""

    machine: Any
    classes: int
    width: int

    @own_settings()
    def scores(self, feature_nd: Real[ArrayLike, "n d"]) -> Float32[Array, "n k"]:
        """Return `SVC`'s one-vs-rest decision values; a class that it never saw scores below all others.

        Raises:
            ValueError: no matrix of the fitted width, NaN or infinite values, negative ones for the intersection
                kernel.
        """
        feature = real_rows("feature_nd", feature_nd, self.width)
        decision = self.machine.decision_function(np.asarray(feature))
        if decision.ndim == 1:
            decision = np.stack([-decision, decision], 1)
        score_nk = np.full((len(decision), self.classes), decision.min() - 1, np.float32)
        score_nk[:, self.machine.classes_] = decision
        placed_nk: Array = jax.device_put(score_nk)
        return placed_nk


class SVMFit(NamedTuple):
    """A fitted SVM and how its search ended."""

    svm: LinearSVM | KernelSVM
    objective_k: Float64[np.ndarray, " k"] | None  # the minimum that each class reached; None for kernels
    iterations: int  # Newton steps, including those on the path to a large penalty; for kernels those of LIBSVM
    converged: bool  # False where the search ran into its limit of iterations


@own_settings()
def fit_linear(
    feature_nd: Real[ArrayLike, "n d"],
    label_n: Shaped[ArrayLike, " n"],
    classes: int,
    c: float = 1.0,
    *,
    mask_n: Bool[ArrayLike, " n"] | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 100,
    start: LinearSVM | None = None,
) -> SVMFit:
    """Fit the one-vs-rest linear SVM of penalty `c`.

    Args:
        feature_nd: real numbers, used as float32. Where devices, also of several processes, share its rows (one axis of
            a mesh), all of them solve, each with its own rows, and all processes must call this.
        label_n: integers in [0, classes); a class that does not occur gets a hyperplane that rejects everything.
        classes: k.
        c: penalty, above 0.
        mask_n: False where a row is no example, such as one that makes the rows divide over devices; None for nowhere.
        tolerance: the search ends when a Newton step promises every class less than this share of its objective.
        max_iterations: the most Newton steps; a search that ends there has not `converged`.
        start: where to begin, such as the SVM of a smaller penalty; the result is the same within the tolerance.

    Raises:
        ValueError: empty input, unequal lengths, NaN or infinite features, labels out of range, fewer than two classes
            that occur, a penalty, tolerance or number of iterations that is not positive, a start of another shape.
    """
    feature, label = _check_examples(feature_nd, label_n, classes, mask_n)
    _check_settings(c, tolerance, max_iterations)
    shape = (classes, feature.shape[1])
    if start is not None and start.weight_kd.shape != shape:
        raise ValueError(f"start must have weights of shape {shape}, got {start.weight_kd.shape}")
    start_ke = None if start is None else np.concatenate([start.weight_kd, start.bias_k[:, None]], 1)
    mesh = row_mesh(feature)
    rows = len(feature) if mesh else row_bucket(len(feature))
    sign_kn = np.zeros((classes, rows), np.float32)
    sign_kn[:, : len(label)] = np.where(label == np.arange(classes)[:, None], 1, -(label >= 0).astype(np.float32))
    placed_nd = feature if mesh else jax.device_put(padded(feature, rows))  # once, and not at every step
    end = minimise(placed_nd, divided(sign_kn, mesh, 1), start_ke, float(c), tolerance, max_iterations)
    svm = LinearSVM(*jax.device_put((end.weight_ke[:, :-1], end.weight_ke[:, -1])))
    return SVMFit(svm, end.objective_k, end.iterations, bool((end.gain_k <= tolerance).all()))


@own_settings()
def fit_kernel(
    feature_nd: Real[ArrayLike, "n d"],
    label_n: Shaped[ArrayLike, " n"],
    classes: int,
    c: float = 1.0,
    *,
    kernel: Literal["rbf", "intersection"] = "rbf",
    max_iterations: int = -1,
) -> SVMFit:
    """Fit scikit-learn's `SVC` of penalty `c` with the RBF kernel of its default width or the histogram intersection.

    The intersection of two histograms is sum_j min(x_j, y_j) (Swain and Ballard, "Color indexing", IJCV 7, 1991). Its
    kernel matrix is held: n^2 float64 values. `max_iterations` limits LIBSVM on each pair of classes; -1 is no limit.

    Raises:
        ValueError: as `fit_linear`; an unknown kernel; negative features for the intersection.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import SVC

    check_known("kernel", kernel, KERNELS)
    feature, label = _check_examples(feature_nd, label_n, classes)
    _check_settings(c, 1.0, 1)
    machine = SVC(C=c, kernel="rbf" if kernel == "rbf" else _intersections, max_iter=max_iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `converged` tells it
        machine.fit(np.asarray(feature), label)
    steps = int(np.max(machine.n_iter_))  # of the pair of classes that took most
    converged = machine.fit_status_ == 0 and not 0 < max_iterations <= steps
    return SVMFit(KernelSVM(machine, classes, feature.shape[1]), None, steps, converged)


@jax.jit
def _linear_scores(feature_nd: Array, weight_ke: Array) -> Array:
    return scores(feature_nd, weight_ke).T


def _intersections(x_nd: np.ndarray, y_md: np.ndarray) -> np.ndarray:
    """Return the intersections (n, m) of histograms; raise ValueError unless `x_nd` holds some."""
    if x_nd.min() < 0:
        raise ValueError("the intersection kernel compares histograms: feature_nd must not be negative")
    x, y = (padded(part.astype(np.float32), row_bucket(len(part))) for part in (x_nd, y_md))
    return np.asarray(_sums_of_minima(x, y))[: len(x_nd), : len(y_md)]


@jax.jit
def _sums_of_minima(x_nd: Array, y_md: Array) -> Array:
    """Work on a few rows at a time: all minima at once need not fit."""
    rows = max(1, _INTERSECTION_ELEMENTS // y_md.size)
    sums = lax.map(lambda x_d: jnp.sum(jnp.minimum(x_d, y_md), 1), x_nd, batch_size=min(rows, len(x_nd)))
    return jnp.asarray(sums)


def _check_examples(
    feature_nd: ArrayLike, label_n: ArrayLike, classes: int, mask_n: ArrayLike | None = None
) -> tuple[Array | np.ndarray, np.ndarray]:
    """Return features and labels, -1 where the mask is False."""
    feature, label = real_rows("feature_nd", feature_nd), class_vector("label_n", label_n, classes)
    mask = np.full(len(label), True) if mask_n is None else flags("mask_n", mask_n, "a mask is True or False")
    for name, length in {"label_n": len(label), "mask_n": len(mask)}.items():
        if length != len(feature):
            raise ValueError(f"feature_nd and {name} must have one length, got {len(feature)} and {length}")
    seen = np.unique(label[mask])
    if len(seen) < 2:
        raise ValueError(f"an SVM needs examples of two classes, all {mask.sum()} are of class {(*seen, 'none')[0]}")
    return feature, np.where(mask, label, -1)


def _check_settings(c: float, tolerance: float, max_iterations: int) -> None:
    for name, value in {"c": c, "tolerance": tolerance}.items():
        if not 0 < value < np.inf:
            raise ValueError(f"{name} must be a positive number, got {value}")
    check_at_least_one(max_iterations=max_iterations)
