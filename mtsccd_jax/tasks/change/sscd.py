"""SSCD: change detection by learned similarity (the paper's Table 7, after Huang and Zhou 2022).

A siamese network (`models/siamese.py`) has learned from the training pairs which of them changed. Its distance of a
pair is 1 - similarity. The threshold is chosen on validation pairs or, for a pair list without them, by
cross-validation over the evaluated pairs. Pairs that the network has learned from are refused.
"""

from dataclasses import dataclass, replace

import jax
import numpy as np
from flax import nnx

from mtsccd_jax.data.bands import normalize
from mtsccd_jax.data.sources import Source, pair_splits
from mtsccd_jax.engine.evaluate import timed_rows
from mtsccd_jax.engine.parallel import Batch
from mtsccd_jax.engine.state import Network, State
from mtsccd_jax.engine.steps import OutputStep
from mtsccd_jax.errors import InputError
from mtsccd_jax.models.siamese import PairOutput, dates
from mtsccd_jax.recipes.config import Data
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.change.decisions import Scores, by_threshold, write_decision
from mtsccd_jax.tasks.change.trained_pairs import check_new
from mtsccd_jax.tasks.feature_cache import FeatureCache, Outputs

PAIR_FIELDS = ("image_t1", "image_t2")


@dataclass(frozen=True)
class Comparison:
    """The outputs of a similarity network on every pair of a source."""

    distance_n: np.ndarray  # 1 - similarity, (n,) float32 in [0, 1]
    scores: Scores | None  # scene logits; None where no scene head was trained


def sscd(cache: FeatureCache, split: str, objective: str) -> Row:
    """Write the row of SSCD on one split, its threshold chosen on the validation pairs or else by cross-validation.

    Where the network has a scene head, its logits of both dates give the transition.
    """
    validation = None
    if "validation" in pair_splits(cache.data):
        known = compare(cache, new_pairs(cache, "validation"))
        validation = known.values.distance_n, known.source.column("changed").astype(bool)
    pairs = compare(cache, new_pairs(cache, split))
    decision = by_threshold(
        validation,
        pairs.values.distance_n,
        pairs.source.column("changed").astype(bool),
        objective,
        name=pairs.source.name,
        resamples=cache.trained.recipe.evaluation.resamples,
        seed=cache.trained.recipe.seed,
    )
    return write_decision(cache.trained, pairs, "sscd", replace(decision, scores=pairs.values.scores))


def new_pairs(cache: FeatureCache, split: str) -> Source:
    """Open the labelled pairs of a split; InputError where a similarity network has learned from some of them."""
    trained = cache.trained
    if trained.recipe.model.task != "similarity":
        raise InputError(
            f"{trained.workdir}: classifies scenes; SSCD needs a network trained on pairs, with "
            "--set model.task=similarity"
        )
    source = cache.pairs(split)
    cache.once(("new", split), lambda: check_new(trained, cache.data, source))
    return source


def compare(cache: FeatureCache, source: Source) -> Outputs[Comparison]:
    """Return the distance of every pair of a source and the scene logits of both dates, computed once."""
    check_pairs(source)
    trained = cache.trained
    step: OutputStep = cache.once(
        "compare step",
        lambda: trained.parallel.compile_outputs(make_compare_step(trained.network, trained.recipe.data)),
    )

    def call(batch: Batch, place_b: np.ndarray) -> dict[str, jax.Array]:
        return step(trained.state, pair_images(batch))

    def compute() -> tuple[Comparison, float]:
        own, share, images_per_s = timed_rows(trained, source, call, np.arange(len(source)), "compare")
        outputs = {name: share.whole(values) for name, values in own.items()}
        scores = (outputs["logits_t1"], outputs["logits_t2"]) if trained.sees_scenes else None
        return Comparison(change_distance(outputs["change"]), scores), images_per_s

    return cache.outputs("comparison", source, compute)


def make_compare_step(network: Network, data: Data) -> OutputStep:
    """Return `compare_step(state, pairs) -> {"change" (b,), "logits_t1", "logits_t2" (b, k)}`; "change" is a logit."""

    def compare_step(state: State, batch: Batch) -> dict[str, jax.Array]:
        model = nnx.merge(network.eval_graph, state.params, state.statistics)
        output: PairOutput = model(*(normalize(batch[name], data) for name in PAIR_FIELDS))
        logits_t1, logits_t2 = dates(output.scenes.logits)
        return {"change": output.change_b, "logits_t1": logits_t1, "logits_t2": logits_t2}

    return compare_step


def check_pairs(source: Source) -> None:
    """Raise InputError unless the source holds pairs of images."""
    if tuple(source.image_fields) != PAIR_FIELDS:
        raise InputError(
            f"{source.name}: holds {', '.join(source.fields)}, not pairs; give --pairs or a data set of pairs"
        )


def pair_images(batch: Batch) -> dict[str, jax.Array]:
    """Return both dates of a batch of pairs, the inputs of the compare step."""
    return {name: batch[name] for name in PAIR_FIELDS}


def change_distance(change_n: np.ndarray) -> np.ndarray:
    """Return 1 - similarity from the logit of "changed"; the similarity is the sigmoid of its negative, float32."""
    from scipy.special import expit

    similarity_n: np.ndarray = expit(-change_n.astype(np.float64)).astype(np.float32)
    return 1 - similarity_n
