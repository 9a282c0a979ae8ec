"""The steps: pure functions of (state, batch), written once, compiled and made parallel from outside.

A batch holds arrays as stored (uint8 images, or bands of their own sizes and types) plus `row` (the example's place in
the data set, which keys its augmentation, so that it does not depend on how a batch is divided over devices) and, in
evaluation, `mask`.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from mtsccd_jax.data.augment import augment
from mtsccd_jax.data.bands import images_of, normalize, seen
from mtsccd_jax.engine.parallel import Batch
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.models.network import Output
from mtsccd_jax.models.siamese import PairOutput, backbone_of, dates
from mtsccd_jax.ops.kmeans import nearest_center
from mtsccd_jax.ops.metrics import confusion_matrix
from mtsccd_jax.recipes.config import Data

# Tells the key of dropout from those of the augmentation, which are folded with row numbers.
DROPOUT = 2**32 - 1

Images = dict[str, jax.Array]
# objective(model, images, batch) -> (loss_b, right_b): what is minimised, and whether the model is right about each
Objective = Callable[[nnx.Module, Images, Batch], tuple[jax.Array, jax.Array]]
Step = Callable[[State, Batch], tuple[State, dict[str, jax.Array]]]


def cross_entropy(label_smoothing: float) -> Objective:
    """Softmax cross-entropy of scenes against `label`, smoothed as in Szegedy et al. 2016, section 7."""

    def objective(model: nnx.Module, images: Images, batch: Batch) -> tuple[jax.Array, jax.Array]:
        output = model(images["image"])
        return scene_loss(output, batch["label"], label_smoothing), jnp.argmax(output.logits, -1) == batch["label"]

    return objective


def label_entropy(label_smoothing: float) -> Objective:
    """Sigmoid cross-entropy of scenes against `labels` (b, k), the mean over labels; a label is called from 0.5 on.

    Smoothing moves the target of every label towards one half, as that of a class towards their mean.
    """

    def objective(model: nnx.Module, images: Images, batch: Batch) -> tuple[jax.Array, jax.Array]:
        output: Output = model(images["image"])
        label_bk = batch["labels"] == 1
        target_bk = label_bk * (1 - label_smoothing) + label_smoothing / 2
        loss_b = optax.sigmoid_binary_cross_entropy(output.logits, target_bk).mean(-1)
        for logits in output.auxiliary:
            loss_b += output.auxiliary_weight * optax.sigmoid_binary_cross_entropy(logits, target_bk).mean(-1)
        return loss_b, jnp.mean((output.logits >= 0) == label_bk, -1)

    return objective


def change_entropy(weights: tuple[float, float], scene_weight: float, label_smoothing: float) -> Objective:
    """Sigmoid cross-entropy of pairs against `changed`, and of both dates' scenes against `label_t1` and `label_t2`.

    Args:
        weights: of an unchanged and of a changed pair.
        scene_weight: of the mean of both dates' scene losses, which is left out at 0.
        label_smoothing: of the scenes; whether a pair changed is not smoothed.
    """

    def objective(model: nnx.Module, images: Images, batch: Batch) -> tuple[jax.Array, jax.Array]:
        judged: PairOutput = model(images["image_t1"], images["image_t2"])
        changed_b = batch["changed"] == 1
        loss_b = optax.sigmoid_binary_cross_entropy(judged.change_b, changed_b.astype(jnp.float32))
        loss_b *= jnp.where(changed_b, weights[1], weights[0])
        if scene_weight:
            label_2b = jnp.stack([batch["label_t1"], batch["label_t2"]], axis=1).reshape(-1)
            loss_t1, loss_t2 = dates(scene_loss(judged.scenes, label_2b, label_smoothing))
            loss_b += scene_weight * (loss_t1 + loss_t2) / 2
        return loss_b, (judged.change_b > 0) == changed_b

    return objective


def scene_loss(output: Output, label_b: jax.Array, label_smoothing: float) -> jax.Array:
    """Softmax cross-entropy of each image, (b,), with that of side classifiers where there are any."""
    target = optax.smooth_labels(jax.nn.one_hot(label_b, output.logits.shape[-1]), label_smoothing)
    loss_b = optax.softmax_cross_entropy(output.logits, target)
    for logits in output.auxiliary:
        loss_b += output.auxiliary_weight * optax.softmax_cross_entropy(logits, target)
    return loss_b


def make_train_step(network: Network, objective: Objective, data: Data, axis_name: str | None) -> Step:
    """`train_step(state, batch) -> (state, metrics)`: one optimiser update on the mean loss of the global batch.

    Metrics are scalars: `loss`, `accuracy` in [0, 1], `gradient_norm` and `learning_rate`. With `axis_name` the batch
    is one device's part, and gradients and metrics are averaged over that axis.
    """

    def train_step(state: State, batch: Batch) -> tuple[State, dict[str, jax.Array]]:
        key = jax.random.fold_in(state.key, state.step)
        # As the augmentation, dropout depends on the example and not on how the batch is divided over devices.
        dropout_key = jax.random.fold_in(key, DROPOUT)
        dropout_key_b = jax.vmap(lambda row: jax.random.fold_in(dropout_key, row))(batch["row"])
        # Both dates of a pair are cropped, flipped, turned and recoloured alike, and lose the same values to dropout.
        images = {
            name: normalize(augment(key, batch["row"], image, data), data)
            for name, image in images_of(batch, data).items()
        }
        dropout_key_b = jnp.repeat(dropout_key_b, len(images), axis=0)

        def mean_loss(params: nnx.State) -> tuple[jax.Array, tuple[nnx.State, jax.Array]]:
            model = nnx.merge(network.train_graph, params, state.statistics, copy=True)
            model = nnx.view(model, example_keys=dropout_key_b, raise_if_not_found=False)
            loss_b, right_b = objective(model, images, batch)
            return loss_b.mean(), (nnx.state(model, nnx.BatchStat), right_b)

        (loss, (statistics, right_b)), gradient = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
        accuracy = jnp.mean(right_b)
        if axis_name:
            gradient, loss, accuracy = jax.lax.pmean((gradient, loss, accuracy), axis_name)
        update, optimizer = network.optimizer.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, update)
        metrics = {
            "loss": loss,
            "accuracy": accuracy,
            "gradient_norm": optax.tree.norm(gradient),
            "learning_rate": jnp.asarray(network.schedule(state.step), jnp.float32),
        }
        return State(state.step + 1, state.key, params, statistics, optimizer), metrics

    return train_step


def make_embed_step(network: Network, data: Data) -> Callable[[State, Batch], dict[str, jax.Array]]:
    """`embed_step(state, {"image": ...} or bands) -> {"logits" (b, k), "features" (b, d)}` in float32.

    One image field at a time, so that scenes and both dates of pairs share one compiled program.
    """

    def embed_step(state: State, batch: Batch) -> dict[str, jax.Array]:
        model = backbone_of(nnx.merge(network.eval_graph, state.params, state.statistics))
        output = model(seen(batch, data))
        return {"logits": output.logits, "features": output.features}

    return embed_step


def make_compare_step(network: Network, data: Data) -> Callable[[State, Batch], dict[str, jax.Array]]:
    """`compare_step(state, {"image_t1", "image_t2"}) -> {"change" (b,), "logits_t1", "logits_t2" (b, k)}` in float32.

    `change` is the logit of "changed".
    """

    def compare_step(state: State, batch: Batch) -> dict[str, jax.Array]:
        model = nnx.merge(network.eval_graph, state.params, state.statistics)
        t1, t2 = (normalize(batch[name], data) for name in ("image_t1", "image_t2"))
        judged: PairOutput = model(t1, t2)
        logits_t1, logits_t2 = dates(judged.scenes.logits)
        return {"change": judged.change_b, "logits_t1": logits_t1, "logits_t2": logits_t2}

    return compare_step


def make_descriptor_step(network: Network, data: Data) -> Callable[[State, Batch], dict[str, jax.Array]]:
    """`descriptor_step(state, {"image", "place"}) -> {"descriptors": (b, m, c)}`: some places of the last feature map.

    `place` (b, m) int32 counts the map's places row by row. Descriptors are float32.
    """

    def descriptor_step(state: State, batch: Batch) -> dict[str, jax.Array]:
        local = local_descriptors(network, data, state, batch)
        return {"descriptors": jnp.take_along_axis(local, batch["place"][:, :, None], axis=1)}

    return descriptor_step


def make_words_step(network: Network, data: Data) -> Callable[[tuple[State, jax.Array], Batch], dict[str, jax.Array]]:
    """`words_step((state, center_kd), {"image"}) -> {"words": (b, k)}`: the share of the map's places of each word.

    Each place of the last feature map counts for the dictionary's nearest entry; shares of an image sum to 1.
    """

    def words_step(known: tuple[State, jax.Array], batch: Batch) -> dict[str, jax.Array]:
        state, center_kd = known
        local = local_descriptors(network, data, state, batch)
        images, places, channels = local.shape
        word = nearest_center(local.reshape(-1, channels), center_kd).reshape(images, places)
        # Comparisons summed: a float scatter-add is hundreds of times slower on some GPUs.
        count = jnp.sum(word[:, :, None] == jnp.arange(center_kd.shape[0]), axis=1, dtype=jnp.int32)
        return {"words": count.astype(jnp.float32) / places}

    return words_step


def local_descriptors(network: Network, data: Data, state: State, batch: Batch) -> jax.Array:
    """The last feature map of each image as (b, h w, c) float32, its places row by row."""
    model = backbone_of(nnx.merge(network.eval_graph, state.params, state.statistics))
    feature_map = model(seen(batch, data)).feature_map
    return feature_map.reshape(feature_map.shape[0], -1, feature_map.shape[-1]).astype(jnp.float32)


def make_eval_step(
    network: Network, data: Data, axis_name: str | None
) -> Callable[[State, Batch], Mapping[str, jax.Array]]:
    """`eval_step(state, batch) -> {"confusion": int32 (k, k), rows are truth}` over the rows whose mask is set."""

    def eval_step(state: State, batch: Batch) -> dict[str, jax.Array]:
        model = nnx.merge(network.eval_graph, state.params, state.statistics)
        logits = model(seen(batch, data)).logits
        confusion = confusion_matrix(batch["label"], jnp.argmax(logits, -1), len(network.class_names), batch["mask"])
        return {"confusion": jax.lax.psum(confusion, axis_name) if axis_name else confusion}

    return eval_step
