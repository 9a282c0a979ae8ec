"""An SVM that predicts the class of a scene from its features, with the penalty C that is best on validation.

Features are scaled to unit length before the SVM sees them, in training and afterwards, unless `scene.unit_length` is
false. The paper does not say what it did. The choice follows Razavian et al. 2014 (arXiv:1403.6382, section 2) for the
same kind of features. It needs no statistics of the training split, and one grid of C fits networks whose features
differ in width and size by orders of magnitude. Histograms of visual words are scaled likewise.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from mtsccd_jax.engine.parallel import Parallel
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.ops.metrics import cohen_kappa, confusion_matrix, overall_accuracy
from mtsccd_jax.ops.svm import LinearSVM, fit_kernel, fit_linear
from mtsccd_jax.processes import Rows
from mtsccd_jax.recipes.config import Scene
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.scenes.source import scene_source

logger = logging.getLogger(__name__)

# Features (n, d), scaled as the SVM's were -> decision values (n, k).
Decide = Callable[[np.ndarray], ArrayLike]


@dataclass(frozen=True)
class Classifier:
    """A fitted SVM and how its penalty was chosen."""

    decide: Decide
    prepare: Callable[[np.ndarray], np.ndarray]  # scales features for the SVM
    c: float  # the chosen penalty
    tried_c: np.ndarray  # (t,), ascending
    value_c: np.ndarray  # (t,), the metric of each on validation
    metric: str  # "oa" or "kappa"
    kernel: str

    def scores(self, feature_nd: np.ndarray) -> np.ndarray:
        """Return the decision value of every class, (n, k) float32; the class of the largest is predicted."""
        return np.asarray(self.decide(self.prepare(feature_nd)), np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the artefact of a row: how the penalty was chosen."""
        return {
            "c": np.array(self.c),
            "tried_c": self.tried_c,
            "validation": self.value_c,
            "metric": np.array(self.metric),
            "kernel": np.array(self.kernel),
        }

    def __str__(self) -> str:
        return f"{self.kernel} SVM, C={self.c:g}, {self.metric} {self.value_c.max():.4f} on validation"


def unit_length(feature_nd: np.ndarray) -> np.ndarray:
    """Scale features to Euclidean length 1, (n, d) float32; zeros stay zeros."""
    feature_nd = np.asarray(feature_nd, np.float32)
    length = np.linalg.norm(feature_nd, axis=1, keepdims=True)
    return feature_nd / np.where(length > 0, length, 1)


def fit_classifier(
    train: tuple[Rows, np.ndarray],
    validation: tuple[Rows, np.ndarray],
    classes: int,
    settings: Scene,
    parallel: Parallel,
    name: str,
    *,
    metric: Literal["oa", "kappa"] = "oa",
) -> Classifier:
    """Fit an SVM for every C in `settings.c` and return the best on validation, of the smallest C among equals.

    `train` and `validation` are features (n, d) and classes (n,), 0 to classes - 1; some classes may be absent. A
    linear SVM is fitted on all devices, each with its own rows; scikit-learn's kernels are by each process, on all.

    Raises:
        InputError: features or labels that an SVM cannot be fitted to.
        RunError: a fit does not converge.
    """
    prepare = unit_length if settings.unit_length else np.asarray
    # Moved to the devices once for all penalties.
    if settings.kernel == "linear":
        train_sd, row_s = parallel.spread(Rows(prepare(train[0].own), train[0].share))
        train_sd = jnp.asarray(train_sd)
    else:
        train_sd, row_s = prepare(train[0].whole), np.arange(len(train[1]))
    label_s, known_md = train[1][row_s], prepare(validation[0].own)
    best: tuple[float, float, Decide] | None = None
    tried, values = sorted(set(settings.c)), []
    start: LinearSVM | None = None
    for c in tried:
        try:
            if settings.kernel == "linear":
                fit = fit_linear(train_sd, label_s, classes, c, mask_n=row_s >= 0, start=start)
                # The next penalty begins where this one ended.
                start = fit.svm if isinstance(fit.svm, LinearSVM) else None
            else:
                fit = fit_kernel(train_sd, label_s, classes, c, kernel=settings.kernel)
            prediction = validation[0].share.each(fit.svm.scores, known_md).argmax(1)
        except ValueError as error:
            raise InputError(f"{name}: no SVM can be fitted ({error})") from error
        if not fit.converged:
            raise RunError(
                f"{name}: the {settings.kernel} SVM with C={c:g} did not converge in {fit.iterations} iterations; "
                f"leave C={c:g} out of --set scene.c=..."
            )
        confusion = np.asarray(confusion_matrix(validation[1], prediction, classes))
        values.append({"oa": overall_accuracy, "kappa": cohen_kappa}[metric](confusion))
        if best is None or values[-1] > best[0]:
            best = values[-1], c, fit.svm.scores
    assert best is not None
    return Classifier(best[2], prepare, best[1], np.array(tried), np.array(values), metric, settings.kernel)


def scene_classifier(cache: FeatureCache) -> Classifier:
    """Fit the SVM on the features of the training scenes once, its C chosen on the validation scenes.

    Both are splits of the data that the network was trained on, whatever it is evaluated on.
    """

    def fit() -> Classifier:
        sources = [scene_source(cache, split, cache.training_data) for split in ("train", "validation")]
        train, validation = (
            (cache.features(source).values["image"].rows, source.column("label")) for source in sources
        )
        trained, name = cache.trained, f"{sources[0].name}, train"
        classes, settings = len(trained.class_names), trained.recipe.scene
        fitted = fit_classifier(train, validation, classes, settings, trained.parallel, name)
        logger.info(f"scene classes by {fitted}")
        return fitted

    return cache.once("scene classifier", fit)
