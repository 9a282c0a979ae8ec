"""The steps: pure functions of (state, batch), written once, compiled and made parallel from outside.

A batch holds arrays as stored: uint8 images, or bands of their own sizes and types. In training it also holds `row`,
the example's place in the data set, which keys its augmentation and dropout, so that neither depends on how a batch is
divided over devices. In evaluation it holds `mask`, which is False in padded rows.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from mtsccd_jax.data.augment import augment
from mtsccd_jax.data.bands import images_of, normalize, seen
from mtsccd_jax.engine.parallel import Batch
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.models.siamese import backbone_of
from mtsccd_jax.ops.metrics import confusion_matrix
from mtsccd_jax.recipes.config import Data

# Tells the key of dropout from those of the augmentation, which are folded with row numbers.
DROPOUT = 2**32 - 1

Images = dict[str, jax.Array]
# objective(model, images, batch) -> (loss_b, right_b): what is minimised, and whether the model is right about each
Objective = Callable[[nnx.Module, Images, Batch], tuple[jax.Array, jax.Array]]
Step = Callable[[State, Batch], tuple[State, dict[str, jax.Array]]]
OutputStep = Callable[[State, Batch], dict[str, jax.Array]]


def make_train_step(network: Network, objective: Objective, data: Data, axis_name: str | None) -> Step:
    """Return `train_step(state, batch) -> (state, metrics)`: one update on the mean loss of the global batch.

    Metrics are scalars: `loss`, `accuracy` in [0, 1], `gradient_norm` and `learning_rate`. With `axis_name` the batch
    is one device's part, and gradients and metrics are averaged over that axis.
    """

    def train_step(state: State, batch: Batch) -> tuple[State, dict[str, jax.Array]]:
        key = jax.random.fold_in(state.key, state.step)
        # Dropout depends on the example, as the augmentation does, and not on how the batch is divided over devices.
        dropout_key = jax.random.fold_in(key, DROPOUT)
        dropout_key_b = jax.vmap(lambda row: jax.random.fold_in(dropout_key, row))(batch["row"])
        # Both dates of a pair get the same augmentation and the same dropout.
        images = {
            name: normalize(augment(key, batch["row"], image, data), data)
            for name, image in images_of(batch, data).items()
        }
        dropout_key_b = jnp.repeat(dropout_key_b, len(images), axis=0)

        def mean_loss(params: nnx.State[Any, Any]) -> tuple[jax.Array, tuple[nnx.State[Any, Any], jax.Array]]:
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


def image_model(network: Network, state: State) -> nnx.Module:
    """Return the network that sees one image, in evaluation mode: of a siamese network its backbone."""
    return backbone_of(nnx.merge(network.eval_graph, state.params, state.statistics))


def make_embed_step(network: Network, data: Data) -> OutputStep:
    """Return `embed_step(state, {"image": ...} or bands) -> {"logits" (b, k), "features" (b, d)}`, float32.

    It takes one image field at a time, so that scenes and both dates of pairs share one compiled program.
    """

    def embed_step(state: State, batch: Batch) -> dict[str, jax.Array]:
        output = image_model(network, state)(seen(batch, data))
        return {"logits": output.logits, "features": output.features}

    return embed_step


def make_eval_step(network: Network, data: Data, axis_name: str | None) -> OutputStep:
    """Return `eval_step(state, batch) -> {"confusion" (k, k), "not_finite" ()}`, int32, over the rows of True `mask`.

    Rows of the matrix are truth. The largest of logits with NaN would be class 0, so such examples are counted.
    """

    def eval_step(state: State, batch: Batch) -> dict[str, jax.Array]:
        logits = image_model(network, state)(seen(batch, data)).logits
        confusion = confusion_matrix(batch["label"], jnp.argmax(logits, -1), len(network.class_names), batch["mask"])
        not_finite = jnp.sum(batch["mask"] & ~jnp.isfinite(logits).all(-1), dtype=jnp.int32)
        counts = {"confusion": confusion, "not_finite": not_finite}
        return jax.lax.psum(counts, axis_name) if axis_name else counts

    return eval_step
