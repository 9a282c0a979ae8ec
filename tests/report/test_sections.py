"""The curves behind a figure are those of the metrics at every threshold."""

import numpy as np
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from mtsccd_jax.report import figures, sections


def test_curves_are_scikit_learns_metrics_at_every_threshold():
    random = np.random.default_rng(0)
    distance = np.round(random.gamma(3.0, 0.2, 120), 2).astype(np.float32)
    changed = random.random(120) < 0.3
    curve = sections.curve(distance, changed)
    np.testing.assert_array_equal(curve.threshold, np.unique(distance)[::-1])
    for i, threshold in enumerate(curve.threshold):
        called = distance >= threshold
        np.testing.assert_allclose(curve.oa[i], accuracy_score(changed, called))
        np.testing.assert_allclose(curve.kappa[i], cohen_kappa_score(changed, called), atol=1e-12)
        np.testing.assert_allclose(curve.f1[i], f1_score(changed, called))


def test_long_curves_are_thinned_with_their_ends():
    distance = np.random.default_rng(1).permutation(5000) / 5000
    curve = sections.curve(distance, distance > 0.8)
    assert len(curve.threshold) == figures.MAX_POINTS
    assert (curve.threshold[0], curve.threshold[-1]) == (distance.max(), distance.min())
