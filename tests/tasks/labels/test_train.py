"""Learning several labels a scene: the loss in plain NumPy, and the score of validation by scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

from mtsccd_jax.data.sources import open_source
from mtsccd_jax.engine.evaluate import embed, load_trained
from mtsccd_jax.engine.workdir import read_history, read_validations
from mtsccd_jax.models.network import Output
from mtsccd_jax.tasks.labels.train import label_entropy


def test_the_loss_of_labels_is_the_textbook_mean():
    generator = np.random.default_rng(0)
    logits, side = generator.normal(size=(2, 6, 5))
    logits[0] = 0  # predicted positive, as a probability of one half is
    label = generator.integers(0, 2, (6, 5)).astype(np.uint8)

    def model(image):
        return Output(jnp.asarray(logits, jnp.float32), None, None, (jnp.asarray(side, jnp.float32),), 0.3)

    loss, right = label_entropy(0.2)(model, {"image": None}, {"labels": jnp.asarray(label)})
    target = np.where(label == 1, 0.9, 0.1)

    def expected(logits):
        probability = 1 / (1 + np.exp(-logits))
        return -(target * np.log(probability) + (1 - target) * np.log(1 - probability)).mean(1)

    np.testing.assert_allclose(loss, expected(logits) + 0.3 * expected(side), rtol=1e-5)
    np.testing.assert_allclose(right, ((logits >= 0) == (label == 1)).mean(1), rtol=1e-6)


def test_training_minimises_the_loss_and_keeps_the_best_average_precision(label_recipe, labels_run):
    history = read_history(labels_run)
    per_epoch = len(history) // 3
    assert np.mean([step.loss for step in history[-per_epoch:]]) < np.mean([step.loss for step in history[:per_epoch]])
    validations = read_validations(labels_run, 10**9)
    assert [entry.score_name for entry in validations] == ["ap_macro"] * 3
    best = max(validations, key=lambda entry: entry.score)
    source = open_source(label_recipe.data, "validation")
    label, logits = source.column("labels"), embed(load_trained(labels_run), source)[0]["image"].logits
    occurs = label.any(0)
    expected = metrics.average_precision_score(label[:, occurs], logits[:, occurs], average="macro")
    assert best.score == pytest.approx(expected, abs=1e-6)
