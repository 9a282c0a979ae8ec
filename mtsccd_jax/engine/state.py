"""The training state, one pytree of everything that a step changes, and the network it belongs to."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from mtsccd_jax.data.bands import channels, statistics
from mtsccd_jax.engine.parallel import Parallel
from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS, Settings, create_model
from mtsccd_jax.models.network import HEAD
from mtsccd_jax.models.siamese import Siamese, backbone_of
from mtsccd_jax.models.weights.architecture import check_architecture
from mtsccd_jax.models.weights.files import WeightFile
from mtsccd_jax.models.weights.mapping import Fitted, fit
from mtsccd_jax.recipes.config import Optim, Recipe


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """Parameters, batch statistics, optimiser state, step count, and the key that all randomness derives from."""

    step: jax.Array
    key: jax.Array
    params: nnx.State[Any, Any]
    statistics: nnx.State[Any, Any]
    optimizer: optax.OptState


@dataclass(frozen=True)
class Network:
    """The static half of a model: everything about it that training does not change.

    Attributes:
        class_names: The scene classes; empty where a similarity network learns from pairs without any.
        make_state: Returns the first state for a key, placed on the mesh. One compiled call, because a state that is
            placed afterwards compiles the first step twice.
    """

    train_graph: nnx.GraphDef[nnx.Module]
    eval_graph: nnx.GraphDef[nnx.Module]
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    class_names: tuple[str, ...]
    make_state: Callable[[jax.Array], State]
    placement: jax.sharding.Sharding

    def initial(self, seed: int) -> State:
        """Return the state before the first step."""
        return self.make_state(jax.random.PRNGKey(seed))

    def initialized(self, state: State, weights: Fitted) -> State:
        """Return the state with published weights in place of the random ones of the network that takes one image."""
        model = nnx.merge(self.train_graph, state.params, state.statistics)
        part = backbone_of(model)
        variables = {path: node for path, node in nnx.iter_graph(part) if isinstance(node, nnx.Variable)}
        for path, value in weights.arrays.items():
            variables[path].set_value(jax.device_put(value, self.placement))
        params, statistics = nnx.state(model, nnx.Param, nnx.BatchStat)
        return replace(state, params=params, statistics=statistics)

    def abstract(self) -> State:
        """Return the shapes, types and placement of the state; nothing is computed."""
        shapes = jax.eval_shape(self.make_state, jax.random.PRNGKey(0))
        placed: State = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.placement), shapes)
        return placed


def create(recipe: Recipe, class_names: tuple[str, ...], steps_per_epoch: int, parallel: Parallel) -> Network:
    """Return the network of a recipe; nothing is computed yet."""
    statistics(recipe.data)

    model, size, similarity = recipe.model, recipe.data.image_size, recipe.similarity
    is_siamese = model.task == "similarity"
    settings = Settings(
        width=model.width,
        features=model.features,
        hidden=model.hidden,
        dropout=model.dropout,
        drop_path=model.drop_path,
    )

    def build(key: jax.Array) -> nnx.Module:
        rngs = nnx.Rngs(params=key)
        network = create_model(
            model.name,
            num_classes=len(class_names) or int(is_siamese),  # pairs without scene labels leave the classifier unused
            image_size=size,
            in_channels=3 if is_siamese else channels(recipe.data),
            dtype=jnp.dtype(recipe.engine.dtype),
            settings=settings,
            rngs=rngs,
        )
        return Siamese(network, size, similarity.width, similarity.radius, rngs=rngs) if is_siamese else network

    abstract = nnx.eval_shape(lambda: build(jax.random.PRNGKey(0)))
    frozen = freeze_rule(recipe.optim.freeze, abstract)
    schedule = make_schedule(recipe.optim, recipe.engine.epochs, steps_per_epoch)
    optimizer = make_optimizer(recipe.optim, schedule, frozen)
    train_graph = nnx.graphdef(parallel.train_view(abstract, frozen))
    eval_graph = nnx.graphdef(nnx.view(abstract, use_running_average=True, raise_if_not_found=False))

    def initial(key: jax.Array) -> State:
        params_key, state_key = jax.random.split(key)
        params, statistics = nnx.state(build(params_key), nnx.Param, nnx.BatchStat)
        return State(jnp.int32(0), state_key, params, statistics, optimizer.init(params))

    # It runs once, so optimising it would take longer than it saves.
    quick = {"xla_backend_optimization_level": 0}
    make_state = jax.jit(initial, out_shardings=parallel.replicated, compiler_options=quick)
    return Network(train_graph, eval_graph, optimizer, schedule, class_names, make_state, parallel.replicated)


def fit_weights(network: Network, name: str, weights: WeightFile) -> Fitted:
    """Return published weights as arrays of the network of that name, or of the backbone of a siamese network.

    Raises:
        InputError: They are of another network, or their values are not finite.
    """
    unsaid = check_architecture(name, weights)
    state = network.abstract()
    model = nnx.merge(network.train_graph, state.params, state.statistics)
    fitted = fit(backbone_of(model), MODELS[name].names, weights)
    return replace(fitted, notes=[*weights.notes, *fitted.notes, *unsaid])


def freeze_rule(prefixes: tuple[str, ...], model: nnx.Module) -> Callable[[tuple[Any, ...]], bool]:
    """Return a function that tells whether `optim.freeze` freezes the module or parameter at a path.

    Raises:
        InputError: No parameter begins with a prefix; the message names the parts of the network.
    """
    paths = [tuple(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))]
    rules = [tuple(prefix.split(".")) for prefix in prefixes if prefix != "backbone"]
    for rule in rules:
        if not any(path[: len(rule)] == rule for path in paths):
            parts = ", ".join(["backbone", *sorted({path[0] for path in paths} - {"backbone"})])
            raise InputError(f"optim.freeze={'.'.join(rule)}: no such part; this network has: {parts}")
    inside = ("backbone",) if isinstance(model, Siamese) else ()

    def frozen(path: tuple[Any, ...]) -> bool:
        names = tuple(map(str, path))
        in_backbone = len(names) > len(inside) and names[: len(inside)] == inside and names[len(inside)] != HEAD
        if "backbone" in prefixes and in_backbone:
            return True
        return any(names[: len(rule)] == rule for rule in rules)

    return frozen


def make_schedule(optim: Optim, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    """Return the learning rate by step: linear warm-up, then constant, or a cosine to zero at the last step."""
    warmup_steps = round(optim.warmup_epochs * steps_per_epoch)
    remaining = max(epochs * steps_per_epoch - warmup_steps, 1)
    after = (
        optax.cosine_decay_schedule(optim.learning_rate, remaining)
        if optim.schedule == "cosine"
        else optax.constant_schedule(optim.learning_rate)
    )
    if not warmup_steps:
        return after
    warmup = optax.linear_schedule(0.0, optim.learning_rate, warmup_steps)
    return optax.join_schedules([warmup, after], [warmup_steps])


def make_optimizer(
    optim: Optim, schedule: optax.Schedule, frozen: Callable[[tuple[Any, ...]], bool]
) -> optax.GradientTransformation:
    """Return the optimiser of a recipe, with torch's conventions of weight decay.

    SGD adds the decay to the gradient; AdamW applies it apart from the gradient.
    """
    parts = [optax.clip_by_global_norm(optim.clip_norm)] if optim.clip_norm is not None else []
    if optim.name == "sgd":
        if optim.weight_decay:
            parts.append(optax.add_decayed_weights(optim.weight_decay))
        parts.append(optax.sgd(schedule, momentum=optim.momentum, nesterov=optim.nesterov))
    else:
        parts.append(optax.adamw(schedule, weight_decay=optim.weight_decay))
    update = optax.chain(*parts)
    if not optim.freeze:
        return update

    def labels(params: nnx.State[Any, Any]) -> Any:
        def label(path: tuple[Any, ...], _: jax.Array) -> str:
            names = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
            return "frozen" if frozen(tuple(names)) else "trained"

        return jax.tree_util.tree_map_with_path(label, params)

    return optax.multi_transform({"trained": update, "frozen": optax.set_to_zero()}, labels)
