"""SSCD: change detection by learned similarity (the paper's Table 7, after Huang and Zhou 2022).

A siamese network (`models/siamese.py`) has learned from the training pairs which of them changed. Its distance of a
pair is 1 - similarity; the threshold is chosen on validation pairs, or, for a pair list without them, by
cross-validation over the judged pairs, which the network has not learned from: pairs that it has are refused.
"""

import time
from collections.abc import Sequence

from mtsccd_jax.data.folder_source import ALL
from mtsccd_jax.data.sources import Source, open_pairs, pair_splits
from mtsccd_jax.engine import workdir as work
from mtsccd_jax.engine.evaluate import Trained, compare
from mtsccd_jax.engine.tasks import pixels_sha256
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data, Objective
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.change.decisions import judge, write_verdict


def detect_similarity(
    trained: Trained,
    data: Data,
    objective: Objective,
    splits: Sequence[str],
) -> list[Row]:
    """A row for each split, written to the network's work directory.

    Where the network has a scene head, its logits of both dates name the transition.

    Args:
        trained: a similarity network.
        data: names the pairs that are judged.
        objective: what the threshold is best at.
        splits: of these.

    Raises:
        InputError: the network classifies scenes, has learned from some of the pairs, or there are too few pairs of
            one kind to choose a threshold on.
    """
    trained.require_similarity()
    # Before anything is computed: what follows may take minutes.
    tuned_on = ["validation"] if "validation" in pair_splits(data) else []
    sources = {split: new_pairs(trained, data, split) for split in dict.fromkeys([*tuned_on, *splits])}
    validation, rows = None, []
    for split, source in sources.items():
        started = time.perf_counter()
        compared, images_per_s = compare(trained, source)
        if split in tuned_on:
            validation = compared.distance, source.column("changed").astype(bool)
        if split not in splits:
            continue
        verdict = judge(
            validation,
            compared.distance,
            source.column("changed").astype(bool),
            objective,
            protocol="sscd",
            name=source.name,
            resamples=trained.recipe.evaluation.resamples,
            seed=trained.recipe.seed,
            score_t1_nk=compared.logits_t1,
            score_t2_nk=compared.logits_t2,
        )
        rows.append(write_verdict(trained, source, split, verdict, images_per_s, started))
    return rows


def new_pairs(trained: Trained, data: Data, split: str) -> Source:
    """The labelled pairs of a split, none of which the network has learned from.

    Raises:
        InputError: it has learned from some, or they do not exist.
    """
    source = open_pairs(data, split)
    learned = work.read_trained_pairs(trained.workdir)
    names = set(learned.names)
    common = sum(pair in names for pair in _names(source))
    if common and _same_images(data, source, learned):
        raise InputError(
            f"{source.name}, {split}: the network of {trained.workdir} has learned from {common} of these "
            f"{len(source)} pairs and would be judged by what it knows; judge another split, or other pairs"
        )
    return source


def _same_images(data: Data, source: Source, learned: work.TrainedPairs) -> bool:
    """Whether pairs that bear the names of those learned from are these.

    Names of a data set are unique. Those of a list in another folder may be accidental: the pixels of the first decide.
    """
    if data.pairs is None or source.name == learned.data:
        return True
    everything, first = open_pairs(data, ALL), learned.names[0]
    names = _names(everything)
    return first in names and pixels_sha256(everything, names.index(first)) == learned.first_sha256


def _names(pairs: Source) -> list[tuple[str, str]]:
    """The file names of both dates of each pair."""
    return list(zip(pairs.column("filename_t1").tolist(), pairs.column("filename_t2").tolist(), strict=True))
