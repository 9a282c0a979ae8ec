"""The steps: pure functions of (state, batch), written once, compiled and made parallel from outside.

A batch holds arrays as stored (uint8 images) plus `row` (the example's place in the data set, which keys its
augmentation, so that it does not depend on how a batch is divided over devices) and, in evaluation, `mask`.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from mtsccd_jax.config import Data
from mtsccd_jax.data.augment import augment, normalize
from mtsccd_jax.engine.parallel import Batch
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.ops.metrics import confusion_matrix

# Tells the key of dropout from those of the augmentation, which are folded with row numbers.
DROPOUT = 2**32 - 1

Images = dict[str, jax.Array]
# objective(model, images, batch) -> (loss_b, logits_bk): what is minimised, and what the training accuracy is read from
Objective = Callable[[nnx.Module, Images, Batch], tuple[jax.Array, jax.Array]]
Step = Callable[[State, Batch], tuple[State, dict[str, jax.Array]]]


def cross_entropy(label_smoothing: float) -> Objective:
    """Softmax cross-entropy of scenes against `label`, smoothed as in Szegedy et al. 2016, section 7."""

    def objective(model: nnx.Module, images: Images, batch: Batch) -> tuple[jax.Array, jax.Array]:
        output = model(images["image"])
        target = optax.smooth_labels(jax.nn.one_hot(batch["label"], output.logits.shape[-1]), label_smoothing)
        loss_b = optax.softmax_cross_entropy(output.logits, target)
        for logits in output.auxiliary:
            loss_b += output.auxiliary_weight * optax.softmax_cross_entropy(logits, target)
        return loss_b, output.logits

    return objective


def images_of(batch: Batch) -> Images:
    """The image fields of a batch: what is stored as (b, h, w, c)."""
    return {name: array for name, array in batch.items() if array.ndim == 4}


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
        images = {
            name: normalize(augment(key, batch["row"], image, data), data.mean, data.std)
            for name, image in images_of(batch).items()
        }

        def mean_loss(params: nnx.State) -> tuple[jax.Array, tuple[nnx.State, jax.Array]]:
            model = nnx.merge(network.train_graph, params, state.statistics, copy=True)
            model = nnx.view(model, example_keys=dropout_key_b, raise_if_not_found=False)
            loss_b, logits_bk = objective(model, images, batch)
            return loss_b.mean(), (nnx.state(model, nnx.BatchStat), logits_bk)

        (loss, (statistics, logits_bk)), gradient = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
        accuracy = jnp.mean(jnp.argmax(logits_bk, -1) == batch["label"])
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
    """`embed_step(state, {"image": ...}) -> {"logits" (b, k), "features" (b, d)}` in float32.

    One image field at a time, so that scenes and both dates of pairs share one compiled program.
    """

    def embed_step(state: State, batch: Batch) -> dict[str, jax.Array]:
        model = nnx.merge(network.eval_graph, state.params, state.statistics)
        output = model(normalize(batch["image"].astype(jnp.float32), data.mean, data.std))
        return {"logits": output.logits, "features": output.features}

    return embed_step


def make_eval_step(
    network: Network, data: Data, axis_name: str | None
) -> Callable[[State, Batch], Mapping[str, jax.Array]]:
    """`eval_step(state, batch) -> {"confusion": int32 (k, k), rows are truth}` over the rows whose mask is set."""

    def eval_step(state: State, batch: Batch) -> dict[str, jax.Array]:
        model = nnx.merge(network.eval_graph, state.params, state.statistics)
        logits = model(normalize(batch["image"].astype(jnp.float32), data.mean, data.std)).logits
        confusion = confusion_matrix(batch["label"], jnp.argmax(logits, -1), len(network.class_names), batch["mask"])
        return {"confusion": jax.lax.psum(confusion, axis_name) if axis_name else confusion}

    return eval_step
