"""Everything that training changes, in one pytree, and the network it belongs to."""

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
from mtsccd_jax.models.weights.files import WeightFile
from mtsccd_jax.models.weights.mapping import Fitted, fit
from mtsccd_jax.recipes.config import Optim, Recipe


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """Parameters, batch statistics, optimiser state, the step count and the key all randomness derives from."""

    step: jax.Array
    key: jax.Array
    params: nnx.State
    statistics: nnx.State
    optimizer: optax.OptState


@dataclass(frozen=True)
class Network:
    """The static half of a model: its graph in training and in evaluation mode, its optimiser, how its state begins.

    `class_names` are the scene classes; the pairs that a similarity network learns from may have none.

    `make_state(key)` gives the first state placed on the mesh. It is compiled as one call: a state that is placed
    afterwards compiles the first step twice.
    """

    train_graph: nnx.GraphDef
    eval_graph: nnx.GraphDef
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    class_names: tuple[str, ...]
    make_state: Callable[[jax.Array], State]
    placement: jax.sharding.Sharding

    def initial(self, seed: int) -> State:
        """The state before the first step."""
        return self.make_state(jax.random.PRNGKey(seed))

    def initialized(self, state: State, weights: Fitted) -> State:
        """The state with published weights in the place of the random ones of the network that sees one image."""
        model = nnx.merge(self.train_graph, state.params, state.statistics)
        part = backbone_of(model)
        variables = {path: node for path, node in nnx.iter_graph(part) if isinstance(node, nnx.Variable)}
        for path, value in weights.arrays.items():
            variables[path].set_value(jax.device_put(value, self.placement))
        params, statistics = nnx.state(model, nnx.Param, nnx.BatchStat)
        return replace(state, params=params, statistics=statistics)

    def abstract(self) -> State:
        """The shapes, types and placement of the state: what a checkpoint is restored into, without computing one."""
        shapes = jax.eval_shape(self.make_state, jax.random.PRNGKey(0))
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.placement), shapes)


def create(recipe: Recipe, class_names: tuple[str, ...], steps_per_epoch: int, parallel: Parallel) -> Network:
    """The network of a recipe; nothing is computed yet.

    Raises:
        InputError: the recipe's network, size, bands or frozen part does not exist, or its training images cannot be
            changed as it says.
    """
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

    # It runs once: compiling it carefully would take longer than it saves.
    quick = {"xla_backend_optimization_level": 0}
    make_state = jax.jit(initial, out_shardings=parallel.replicated, compiler_options=quick)
    return Network(train_graph, eval_graph, optimizer, schedule, class_names, make_state, parallel.replicated)


def fit_weights(network: Network, name: str, weights: WeightFile) -> Fitted:
    """Published weights for the network of a name, or for the siamese network around it; nothing is computed yet.

    Raises:
        InputError: they belong to another network.
    """
    state = network.abstract()
    model = nnx.merge(network.train_graph, state.params, state.statistics)
    return fit(backbone_of(model), MODELS[name].names, weights)


def freeze_rule(prefixes: tuple[str, ...], model: nnx.Module) -> Callable[[tuple[Any, ...]], bool]:
    """Whether the module or parameter at a path stays as it is.

    Raises:
        InputError: a prefix under which there is no parameter.
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
    """The learning rate at a step: linear warm-up, then constant or a cosine to zero at the last step."""
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
    """The optimiser of a recipe, with torch's conventions: decay is added to the gradient (SGD) or apart (AdamW)."""
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

    def labels(params: nnx.State) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, _: "frozen" if frozen(tuple(_name(entry) for entry in path)) else "trained", params
        )

    return optax.multi_transform({"trained": update, "frozen": optax.set_to_zero()}, labels)


def _name(entry: Any) -> str:
    """The name in one entry of a JAX key path (dictionary key, attribute or index)."""
    return str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", entry))))
