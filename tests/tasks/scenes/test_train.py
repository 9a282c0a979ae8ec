"""The loss of scenes in plain NumPy, and what teaches nothing."""

import jax.numpy as jnp
import numpy as np
import pytest

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.network import Output
from mtsccd_jax.recipes.config import Data, Engine, Recipe
from mtsccd_jax.tasks.scenes.train import cross_entropy, warn_of_absent
from mtsccd_jax.tasks.table import open_task


def test_scenes_of_one_class_teach_nothing(scenes, tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "dark").symlink_to(scenes / "dark")
    with pytest.raises(InputError, match="all scenes are of one class, dark"):
        open_task(Recipe("r", "", data=Data(dataset=None, folder=str(tmp_path / "all"), image_size=32)))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([3, 1, 2], None),
        ([3, 0, 2], "no training image of class b; the network cannot learn to name them"),
        ([0, 4, 0], "no training image of 2 of 3 classes a, c; the network"),
    ],
)
def test_classes_without_a_training_image_are_named(caplog, images, words):
    warn_of_absent(("a", "b", "c"), np.array(images))
    assert [words is not None and words in line for line in caplog.messages] == [True] * (words is not None)


def test_they_are_named_when_a_training_is_opened(caplog, scenes, tmp_path):
    for name in ("dark", "plain"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / name).symlink_to(scenes / name)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "stripes").symlink_to(scenes / "stripes")
    data = Data(dataset=None, folder=str(tmp_path), image_size=32)
    open_task(Recipe("r", "", data=data, engine=Engine(validate=False)))
    assert caplog.messages == ["no training image of class stripes; the network cannot learn to name them"]


def test_cross_entropy_is_the_textbook_sum():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(5, 4)).astype(np.float32)
    label = np.array([0, 3, 1, 1, 2])
    smoothing = 0.2
    loss, right = cross_entropy(smoothing)(
        lambda image: Output(jnp.asarray(logits), None, None), {"image": None}, {"label": jnp.asarray(label)}
    )
    target = np.full((5, 4), smoothing / 4)
    target[np.arange(5), label] += 1 - smoothing
    log_probability = logits - np.log(np.exp(logits.astype(np.float64)).sum(-1, keepdims=True))
    np.testing.assert_allclose(loss, -(target * log_probability).sum(-1), rtol=1e-5)
    np.testing.assert_array_equal(right, logits.argmax(-1) == label)


def test_side_classifiers_add_their_weighted_loss():
    generator = np.random.default_rng(0)
    main, side, other = generator.normal(size=(3, 5, 4)).astype(np.float32)
    batch = {"label": jnp.asarray([0, 3, 1, 1, 2])}

    def loss(output):
        return np.asarray(cross_entropy(0.1)(lambda image: output, {"image": None}, batch)[0])

    alone = [loss(Output(logits, None, None)) for logits in (main, side, other)]
    together = loss(Output(main, None, None, (side, other), 0.3))
    np.testing.assert_allclose(together, alone[0] + 0.3 * (alone[1] + alone[2]), rtol=1e-6)
