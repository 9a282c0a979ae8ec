"""Minimisation of the squared hinge for all classes at once: Newton steps along a path of rising penalties.

The objective is that of `ops.svm`; it is piecewise quadratic and convex. A Newton step minimises the quadratic of the
examples inside the margin, and an exact line search follows. On the last quadratic one step reaches the minimum.

At a large penalty, Newton's method takes dozens of steps from 0, most of them short, but a handful from the minimum
of a tenth of the penalty. So the penalty rises by factors of 10, and all stages but the last are solved roughly.

The quadratics are solved by conjugate gradients over all classes, with two matrix products an iteration. Where they
take many iterations (few examples inside the margin, large penalty) they are preconditioned: with A the examples inside
the margin, the inverse of I + 2c A'A is I - A'(I/2c + AA')^-1 A, and AA' of a class is small. A factor that is some
steps old is still good; it is computed again when the gradients take many iterations.

Where several devices share the rows, no example leaves its device but the few of a factor: sums over the examples and
the decision values of a step are handed round, and every device takes the same steps.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.linalg import cho_solve
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Float32, Float64

from mtsccd_jax.ops.calls import gathered, of_first, row_mesh, total

_STAGE = 10.0  # the factor of the penalty from one stage to the next
_GENTLE = 2.0  # c |x|^2 at which Newton's method needs no path
_ROUGH = 1e-2  # the relative tolerance of the stages before the last
_FORCING = 0.1  # the share of a system's energy norm that conjugate gradients may leave
_ITERATIONS = 200  # conjugate gradients stop there: the line search makes the best of what they have
_LARGEST, _SMALLEST = 1024, 128  # examples of a class in its preconditioner
_BLOCKS, _BLOCK_ROWS = 16, 512  # examples are multiplied in this many blocks, each of at least so many rows
_FEW = 4  # iterations that are needed even with a fresh factor
_LINE_ITERATIONS = 16


class Factor(NamedTuple):
    """A preconditioner: for every class some of the examples inside its margin, and a Cholesky factor."""

    row_km: Array  # places of the device's own examples, n where there is none
    lower_kmm: Array


class Minimum(NamedTuple):
    """The minimum that a search reached, in Newton steps of all stages."""

    weight_ke: Float32[np.ndarray, "k e"]  # hyperplanes (e = d + 1), the bias last
    objective_k: Float64[np.ndarray, " k"]
    gain_k: Float64[np.ndarray, " k"]  # the promise of one more Newton step, relative to the objective
    iterations: int


def minimise(
    feature_nd: Float32[Array | np.ndarray, "n d"],
    sign_kn: Float32[Array | np.ndarray, "k n"],
    start_ke: Float32[np.ndarray, "k e"] | None,
    c: float,
    tolerance: float,
    max_iterations: int,
) -> Minimum:
    """Minimise the objective of every class, from `start_ke` or, where that is None, along the path from 0.

    `sign_kn` is 1 where the example is of the class, -1 where it is of another, and 0 in padding; hyperplanes
    (e = d + 1) hold the bias last. The search ends when no class's Newton step promises more than the share `tolerance`
    of its objective, or after `max_iterations` steps of all stages together. Several devices may share the rows of
    both (see `ops.calls.row_mesh`).
    """
    mesh = row_mesh(feature_nd)
    run, devices = _programs(mesh), 1 if mesh is None else mesh.size
    with jax.enable_x64(True):
        if start_ke is None:
            weight_ke: Array | np.ndarray = np.zeros((sign_kn.shape[0], feature_nd.shape[1] + 1), np.float32)
            stages = _stages(c, 1 + float(run.mean_square(feature_nd, sign_kn)))
        else:
            weight_ke, stages = start_ke, [c]
        iteration, spent, factor = 0, 0.0, None
        for stage in stages:
            goal = tolerance if stage == c else max(tolerance, _ROUGH)
            penalty, gain_k = np.float32(stage), np.full(len(sign_kn), np.inf)
            while iteration < max_iterations and (gain_k > goal).any():
                place = run.evaluate(feature_nd, sign_kn, weight_ke, penalty)
                rows = -(-_rows(int(place.most), feature_nd.shape[0]) // devices)
                # A factor is due once the iterations since the last have cost as much. So all cost at most twice as
                # much as with the best choice.
                if spent > _cost(rows * devices, feature_nd.shape[1]):
                    factor, spent = run.factor(feature_nd, place.active_kn, penalty, rows), 0.0
                step = run.step(feature_nd, sign_kn, weight_ke, place, factor, penalty)
                gain_k = np.asarray(step.gain_k)
                iteration += 1
                spent += max(0, int(step.effort) - _FEW) * int(place.inside) / devices
                weight_ke = step.weight_ke
        objective_k = np.asarray(run.evaluate(feature_nd, sign_kn, weight_ke, np.float32(c)).objective_k)
    return Minimum(np.asarray(weight_ke), objective_k, gain_k, iteration)


def scores(feature_nd: Float32[Array, "n d"], weight_ke: Float32[Array, "k e"]) -> Float32[Array, "k n"]:
    """Return decision values in full float32: accelerators would otherwise round the factors to TF32 or bfloat16."""
    dot_kn = lax.dot_general(weight_ke[:, :-1], feature_nd, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)
    return dot_kn + weight_ke[:, -1:]


class _Place(NamedTuple):
    score_kn: Array
    active_kn: Array  # inside the margin or on its wrong side
    gradient_ke: Array
    objective_k: Array
    most: Array  # examples inside the margin of the class that has most
    inside: Array  # examples inside the margin of any class


class _Step(NamedTuple):
    weight_ke: Array
    gain_k: Array
    effort: Array  # conjugate gradient iterations


class _Programs(NamedTuple):
    """The compiled parts of the search."""

    mean_square: Callable[..., Array]
    evaluate: Callable[..., _Place]
    factor: Callable[..., Factor]
    step: Callable[..., _Step]


@lru_cache(maxsize=16)
def _programs(mesh: Mesh | None) -> _Programs:
    """Return the programs of one device, or of those of a mesh with one axis that share the rows."""
    if mesh is None:
        return _Programs(jax.jit(_mean_square), jax.jit(_evaluate), jax.jit(_factor, static_argnums=3), jax.jit(_step))
    (axis,) = mesh.axis_names
    rows: Any = P(axis)
    classes: Any = P(None, axis)
    whole: Any = P()
    place, factor = _Place(classes, classes, whole, whole, whole, whole), Factor(classes, whole)

    def spread(function: Callable[..., Any], inputs: tuple[Any, ...], outputs: Any, **settings: Any) -> Any:
        call = partial(function, axis=axis, **settings)
        return jax.shard_map(call, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False)

    @partial(jax.jit, static_argnums=3)
    def make_factor(feature_nd: Array, active_kn: Array, c: Array, rows_here: int) -> Factor:
        made: Factor = spread(_factor, (rows, classes, whole), factor, rows=rows_here)(feature_nd, active_kn, c)
        return made

    @jax.jit
    def step(*arguments: Any) -> _Step:
        known = None if arguments[4] is None else factor
        taken: _Step = spread(_step, (rows, classes, whole, place, known, whole), whole)(*arguments)
        return taken

    return _Programs(
        jax.jit(spread(_mean_square, (rows, classes), whole)),
        jax.jit(spread(_evaluate, (rows, classes, whole, whole), place)),
        make_factor,
        step,
    )


def _stages(c: float, square: float) -> list[float]:
    """Return the rising penalties of the path; the last is `c`."""
    count = max(0, int(np.ceil(np.log(c * square / _GENTLE) / np.log(_STAGE))))
    return [c / _STAGE**power for power in range(count, 0, -1)] + [c]


def _rows(most: int, n: int) -> int:
    """Return a power of two, so that few programs are compiled."""
    return min(n, _LARGEST, max(_SMALLEST, 1 << (most - 1).bit_length()))


def _cost(rows: int, width: int) -> float:
    """Return the cost of a factor, in examples multiplied in conjugate gradients.

    A factor takes rows^2 (width + rows / 3) multiplications a class, an example 2 width. But the latter are products of
    a matrix with a few vectors, which run at about a quarter of the rate.
    """
    return rows**2 * (width + rows / 3) / (4 * 2 * width)


def _mean_square(feature_nd: Array, sign_kn: Array, axis: str | None = None) -> Array:
    real_n = jnp.abs(sign_kn[0])
    square = jnp.sum(real_n * jnp.sum(jnp.square(feature_nd), 1))
    return of_first(total(square, axis) / total(jnp.sum(real_n), axis), axis)


def _evaluate(feature_nd: Array, sign_kn: Array, weight_ke: Array, c: Array, axis: str | None = None) -> _Place:
    score_kn = scores(feature_nd, weight_ke)
    slack_kn = jnp.where(sign_kn == 0, 0, jnp.maximum(1 - sign_kn * score_kn, 0))
    objective_k = _dot(weight_ke, weight_ke) / 2 + c.astype(jnp.float64) * total(_dot(slack_kn, slack_kn), axis)
    gradient_ke = weight_ke - 2 * c * total(_combine(sign_kn * slack_kn, feature_nd), axis)
    active_kn = slack_kn > 0
    most, inside = jnp.max(total(active_kn.sum(1), axis)), total(active_kn.any(0).sum(), axis)
    return _Place(score_kn, active_kn, gradient_ke, objective_k, most, inside)


def _factor(feature_nd: Array, active_kn: Array, c: Array, rows: int, axis: str | None = None) -> Factor:
    """Compute the preconditioner of every class from evenly spaced examples inside its margin, some `rows` a device."""
    n = feature_nd.shape[0]

    def one_class(active_n: Array) -> tuple[Array, Array]:
        order_n = jnp.cumsum(active_n, dtype=jnp.int32)
        count = order_n[-1]
        wanted_m = jnp.arange(rows, dtype=jnp.int32) * (jnp.maximum(count, rows) / rows).astype(jnp.float32)
        wanted_m = wanted_m.astype(jnp.int32) + 1
        found_m = wanted_m <= count
        row_m = jnp.where(found_m, jnp.searchsorted(order_n, wanted_m), n).astype(jnp.int32)
        example_md = gathered(feature_nd.at[row_m].get(mode="fill", fill_value=0), axis)
        count, found_m = total(count, axis), gathered(found_m, axis)
        gram = lax.dot_general(example_md, example_md, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)
        gram = gram + (found_m[:, None] & found_m)
        # The rows represent all examples inside the margin, and float32 must be able to factor the matrix.
        share = jnp.maximum(count / len(found_m), 1).astype(jnp.float32)
        shift = jnp.maximum(1 / (2 * c * share), 1e-6 * jnp.trace(gram))
        identity = jnp.eye(len(found_m), dtype=jnp.float32)
        lower = jnp.linalg.cholesky(gram + shift * identity)
        sound = of_first(jnp.isfinite(lower).all(), axis)  # else the class has no preconditioner
        return jnp.where(sound, row_m, n), jnp.where(sound, lower, identity)

    # One class at a time: the examples of all classes at once may not fit.
    return Factor(*lax.map(one_class, active_kn))


class _Inside(NamedTuple):
    """The examples of a Newton step, packed, so that only these are multiplied, block by block."""

    example_brd: Array
    active_bkr: Array
    place_km: Array | None  # where the rows of the factor are among the packed ones
    blocks: Array  # the number of blocks that hold an example


def _pack(feature_nd: Array, active_kn: Array, factor: Factor | None) -> _Inside:
    """Pack the examples inside the margin of some class, and those of the factor."""
    (n, d), classes = feature_nd.shape, len(active_kn)
    rows = max(_BLOCK_ROWS, -(-n // _BLOCKS))
    blocks = -(-n // rows)
    needed_n = active_kn.any(0)
    if factor is not None:
        needed_n = needed_n.at[factor.row_km.ravel()].set(True, mode="drop")
    used = -(-needed_n.sum() // rows)
    (row_n,) = jnp.nonzero(needed_n, size=blocks * rows, fill_value=n)
    row_br = row_n.reshape(blocks, rows)

    def fill(block: Array, packed_brd: Array) -> Array:
        return packed_brd.at[block].set(feature_nd.at[row_br[block]].get(mode="fill", fill_value=0))

    example_brd = lax.fori_loop(0, used, fill, lax.empty((blocks, rows, d), jnp.float32))
    active_bkr = active_kn.at[:, row_n].get(mode="fill", fill_value=False).reshape(classes, blocks, rows).swapaxes(0, 1)
    place_km = None
    if factor is not None:
        place_n = jnp.cumsum(needed_n, dtype=jnp.int32) - 1
        place_km = place_n.at[factor.row_km].get(mode="fill", fill_value=blocks * rows)
    return _Inside(example_brd, active_bkr, place_km, used)


def _curvature(inside: _Inside, direction_ke: Array, axis: str | None) -> Array:
    """Return A'A p of every class, (k, d + 1), A being its examples inside the margin."""

    def add(block: Array, total_ke: Array) -> Array:
        example_rd = inside.example_brd[block]
        score_kr = jnp.where(inside.active_bkr[block], scores(example_rd, direction_ke), 0)
        return total_ke + _combine(score_kr, example_rd)

    return total(lax.fori_loop(0, inside.blocks, add, jnp.zeros_like(direction_ke)), axis)


def _precondition(inside: _Inside, factor: Factor | None, rest_ke: Array, axis: str | None) -> Array:
    """Return r - A'(shift + AA')^-1 A r of every class, A being the examples of the factor; r without a factor."""
    if factor is None or inside.place_km is None:
        return rest_ke
    (blocks, rows, _), classes = inside.example_brd.shape, len(rest_ke)

    def score(block: Array, score_bkr: Array) -> Array:
        return score_bkr.at[block].set(scores(inside.example_brd[block], rest_ke))

    nothing_bkr = jnp.zeros((blocks, classes, rows), jnp.float32)
    score_bkr = lax.fori_loop(0, inside.blocks, score, nothing_bkr)
    score_kn = score_bkr.swapaxes(0, 1).reshape(classes, blocks * rows)
    score_km = gathered(jnp.take_along_axis(score_kn, inside.place_km, 1, mode="fill", fill_value=0), axis, 1)
    share_km = jax.vmap(lambda lower, right: cho_solve((lower, True), right))(factor.lower_kmm, score_km)
    if axis is not None:
        here = inside.place_km.shape[1]
        share_km = lax.dynamic_slice_in_dim(share_km, lax.axis_index(axis) * here, here, 1)
    # The rows of a class are distinct, so `set` can replace `add`, which is slow on some accelerators.
    share_kn = jnp.zeros_like(score_kn).at[jnp.arange(classes)[:, None], inside.place_km].set(share_km, mode="drop")
    share_bkr = share_kn.reshape(classes, blocks, rows).swapaxes(0, 1)

    def add(block: Array, total_ke: Array) -> Array:
        return total_ke + _combine(share_bkr[block], inside.example_brd[block])

    return rest_ke - total(lax.fori_loop(0, inside.blocks, add, jnp.zeros_like(rest_ke)), axis)


class _Descent(NamedTuple):
    """The state of the conjugate gradients."""

    move_ke: Array
    rest_ke: Array  # the part of the gradient that is left
    direction_ke: Array
    energy_k: Array  # its preconditioned square
    live_k: Array  # whether it is still too large
    iteration: Array


def _step(
    feature_nd: Array,
    sign_kn: Array,
    weight_ke: Array,
    place: _Place,
    factor: Factor | None,
    c: Array,
    axis: str | None = None,
) -> _Step:
    """Take one Newton step of every class.

    Processors of several kinds may round otherwise, so the first device says for all how far to go.
    """
    inside = _pack(feature_nd, place.active_kn, factor)
    first_ke = _precondition(inside, factor, -place.gradient_ke, axis)
    energy_k = _dot(-place.gradient_ke, first_ke)
    goal_k = _FORCING**2 * energy_k

    def going(state: _Descent) -> Array:
        return jnp.any(state.live_k) & (state.iteration < _ITERATIONS)

    def improve(state: _Descent) -> _Descent:
        move_ke, rest_ke, direction_ke, energy_k, live_k, iteration = state
        product_ke = direction_ke + 2 * c * _curvature(inside, direction_ke, axis)
        length_k = jnp.where(live_k, energy_k / _dot(direction_ke, product_ke), 0).astype(jnp.float32)
        move_ke = move_ke + length_k[:, None] * direction_ke
        rest_ke = rest_ke - length_k[:, None] * product_ke
        ahead_ke = _precondition(inside, factor, rest_ke, axis)
        now_k = jnp.where(live_k, _dot(rest_ke, ahead_ke), energy_k)
        turn_k = jnp.where(live_k, now_k / energy_k, 0).astype(jnp.float32)
        direction_ke = ahead_ke + turn_k[:, None] * direction_ke
        return _Descent(move_ke, rest_ke, direction_ke, now_k, of_first(now_k > goal_k, axis), iteration + 1)

    live_k = of_first(energy_k > goal_k, axis)
    start = _Descent(jnp.zeros_like(weight_ke), -place.gradient_ke, first_ke, energy_k, live_k, jnp.int32(0))
    move_ke, *_, effort = lax.while_loop(going, improve, start)
    promise_k = -_dot(place.gradient_ke, move_ke) / 2
    margin_kn = gathered(sign_kn * place.score_kn, axis, 1)
    margin_move_kn = gathered(sign_kn * scores(feature_nd, move_ke), axis, 1)
    length_k = _line_search(weight_ke, move_ke, margin_kn, margin_move_kn, c)
    length_k = jnp.where(promise_k > 0, length_k, 0).astype(jnp.float32)
    gain_k = of_first(promise_k / place.objective_k, axis)
    return _Step(weight_ke + length_k[:, None] * move_ke, gain_k, effort)


def _line_search(weight_ke: Array, move_ke: Array, margin_kn: Array, margin_move_kn: Array, c: Array) -> Array:
    """Return the t >= 0 (k,) that minimises the objective at weight + t move: the root of its slope."""
    along_k, curve_k = _dot(weight_ke, move_ke), _dot(move_ke, move_ke)

    def narrow(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        t, low, high = state
        slack = jnp.maximum(1 - margin_kn - t.astype(jnp.float32)[:, None] * margin_move_kn, 0)
        inside = jnp.where(slack > 0, margin_move_kn, 0)
        slope = along_k + t * curve_k - 2 * c * _dot(inside, slack)
        second = curve_k + 2 * c * _dot(inside, inside)
        low, high = jnp.where(slope < 0, t, low), jnp.where(slope < 0, high, t)
        newton = t - slope / jnp.where(second > 0, second, 1)
        middle = jnp.where(jnp.isinf(high), 2 * t, (low + high) / 2)
        return jnp.where((newton >= low) & (newton <= high), newton, middle), low, high

    one = jnp.ones_like(along_k)
    length_k: Array = lax.fori_loop(0, _LINE_ITERATIONS, narrow, (one, 0 * one, one * jnp.inf))[0]
    return length_k


def _combine(weight_kn: Array, feature_nd: Array) -> Array:
    """Return weighted sums (k, d + 1) of the examples, the feature of value 1 last."""
    dot_kd = lax.dot_general(weight_kn, feature_nd, (((1,), (0,)), ((), ())), precision=lax.Precision.HIGHEST)
    return jnp.concatenate([dot_kd, weight_kn.sum(1, keepdims=True)], 1)


def _dot(a_kn: Array, b_kn: Array) -> Array:
    """Return the inner products of the rows, (k,), in float64."""
    return jnp.sum(a_kn.astype(jnp.float64) * b_kn.astype(jnp.float64), 1)
