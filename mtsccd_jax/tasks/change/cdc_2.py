"""CDC_2: scenes classified from visual words at both dates, and the classes compared (the paper's section 3.2).

Each date has an SVM of its own, fitted on the words and scene labels of the training pairs at that date
(`change.words_svm="scenes"`). Where the pairs have no labelled training split, dictionary and SVM are of the scenes
that the network was trained on, and both dates share the SVM; the artefact `words` says which. The paper does not say
whether its SVM saw scenes or pairs; with `words_svm="pairs"` one SVM is fitted on what both histograms of a pair have
in common and in what they differ, and says changed or unchanged itself.
"""

import logging
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.data.sources import Source, pair_splits
from mtsccd_jax.errors import InputError
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.change.decisions import Verdict, change_margin, write_verdict
from mtsccd_jax.tasks.change.visual_words import Dictionary, Words, count_words, fit_dictionary
from mtsccd_jax.tasks.feature_cache import Embedded
from mtsccd_jax.tasks.scenes.classifier import Classifier, fit_classifier

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judges:
    """A dictionary and the SVMs on its words: one a date that names classes, or one that says whether a pair changed.

    Attributes:
        dictionary: the visual words.
        of_date: the classifiers of the first and of the second date; None where pairs are judged.
        of_pair: the classifier of pairs, 0 unchanged and 1 changed; None where scenes are classified.
        class_names: what `of_date` tells apart; empty where pairs are judged.
    """

    dictionary: Dictionary
    of_date: tuple[Classifier, Classifier] | None
    of_pair: Classifier | None
    class_names: tuple[str, ...] = ()

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """The artefacts of a row: the dictionary, and how the penalty of each SVM was chosen."""
        words = {
            "center": self.dictionary.center_kd,
            "inertia": np.array(self.dictionary.inertia),
            "descriptors": np.array(self.dictionary.descriptors),
            "fitted_on": np.array(self.dictionary.fitted_on),
        }
        if self.of_pair is not None:
            return {"words": words, "svm": self.of_pair.arrays()}
        assert self.of_date is not None
        dates = zip(("t1", "t2"), self.of_date, strict=True)
        svm = {f"{name}_{date}": array for date, svm in dates for name, array in svm.arrays().items()}
        return {"words": words, "svm": svm}


def cdc_2(passes: Embedded, split: str) -> Row:
    """The row of CDC_2 on one split.

    The distance beside each verdict is the margin of change, or the decision value of the SVM on pairs.

    Raises:
        InputError: the pairs or their training split cannot be read, fewer descriptors than words, or no training pairs
            for an SVM on pairs.
        RunError: an SVM does not converge.
    """
    source = passes.pair_source(split)
    judges = fit_judges(passes)
    words = pair_words(passes, source, split, judges.dictionary)
    word_t1, word_t2 = words.images["image_t1"], words.images["image_t2"]
    if judges.of_pair is not None:
        score = judges.of_pair.scores(pair_features(word_t1, word_t2))
        verdict = Verdict("cdc_2", score.argmax(1) == 1, score[:, 1] - score[:, 0], arrays=judges.arrays())
    else:
        assert judges.of_date is not None
        score_t1, score_t2 = judges.of_date[0].scores(word_t1), judges.of_date[1].scores(word_t2)
        predicted, margin = score_t1.argmax(1) != score_t2.argmax(1), change_margin(score_t1, score_t2)
        verdict = Verdict(
            "cdc_2", predicted, margin, score_t1, score_t2, class_names=judges.class_names, arrays=judges.arrays()
        )
    return write_verdict(passes.trained, source, split, verdict, words.images_per_s, words.started)


def pair_features(word_t1_nk: np.ndarray, word_t2_nk: np.ndarray) -> np.ndarray:
    """What the SVM on pairs sees, (n, 2k): the absolute difference and the minimum of both histograms.

    Neither depends on which date came first.
    """
    return np.concatenate([np.abs(word_t1_nk - word_t2_nk), np.minimum(word_t1_nk, word_t2_nk)], axis=1)


def fit_judges(passes: Embedded) -> Judges:
    """The dictionary and the SVMs of a network, fitted once.

    Raises:
        InputError: fewer descriptors than words, or no training pairs for an SVM on pairs.
        RunError: an SVM does not converge.
    """
    make = {"scenes": _judges_of_scenes, "pairs": _judges_of_pairs}[passes.trained.recipe.change.words_svm]
    return passes.once("visual words", lambda: make(passes))


def pair_words(passes: Embedded, source: Source, split: str, dictionary: Dictionary) -> Words:
    """The histograms of both dates of a split's pairs, counted once."""
    return passes.once(("words of pairs", split), lambda: count_words(passes, source, dictionary))


def _judges_of_pairs(passes: Embedded) -> Judges:
    """One SVM on the histograms of the training pairs, its penalty the best in kappa on the validation pairs."""
    if not _has_training_pairs(passes):
        raise InputError(
            f"{passes.data.pairs or passes.data.pair_dataset}: change.words_svm=pairs needs pairs in the splits train "
            "and validation; add a column 'split', or use --set change.words_svm=scenes"
        )
    train, validation = passes.pair_source("train"), passes.pair_source("validation")
    dictionary = fit_dictionary(passes, train)
    feature, known = (
        pair_features(*(words.images[field] for field in ("image_t1", "image_t2")))
        for words in (
            pair_words(passes, source, split, dictionary)
            for split, source in (("train", train), ("validation", validation))
        )
    )
    label, known_label = (source.column("changed").astype(np.int32) for source in (train, validation))
    name = f"{train.name}, train"
    if len(np.unique(label)) < 2:
        raise InputError(f"{name}: all {len(label)} pairs are of one kind; an SVM on pairs needs both")
    fitted = fit_classifier(feature, label, known, known_label, 2, passes.trained.recipe.scene, name, metric="kappa")
    logger.info(f"changed pairs from {len(dictionary.center_kd)} words by {fitted}")
    return Judges(dictionary, None, fitted)


def _judges_of_scenes(passes: Embedded) -> Judges:
    """One SVM a date on the training pairs, or one for both dates on the training scenes where pairs have no labels."""
    of_pairs = _has_training_pairs(passes) and "label_t1" in passes.pair_source("train").fields
    if of_pairs:
        train, validation = passes.pair_source("train"), passes.pair_source("validation")
        dictionary = fit_dictionary(passes, train)
        words, known = (pair_words(passes, source, source.split, dictionary) for source in (train, validation))
        fields = [("image_t1", "label_t1"), ("image_t2", "label_t2")]
    else:
        train, validation = (passes.scene_source(split, passes.training_data) for split in ("train", "validation"))
        dictionary = fit_dictionary(passes, train)
        words, known = (count_words(passes, source, dictionary) for source in (train, validation))
        fields = [("image", "label")]
        logger.info(f"the pairs have no labelled training split: visual words and classes are of {train.name}")
    classifiers = []
    for image, label in fields:
        fitted = fit_classifier(
            words.images[image],
            train.column(label),
            known.images[image],
            validation.column(label),
            len(train.class_names),
            passes.trained.recipe.scene,
            f"{train.name}, train",
        )
        logger.info(f"classes ({label}) from {len(dictionary.center_kd)} words by {fitted}")
        classifiers.append(fitted)
    return Judges(dictionary, (classifiers[0], classifiers[-1]), None, tuple(train.class_names))


def _has_training_pairs(passes: Embedded) -> bool:
    return {"train", "validation"} <= set(pair_splits(passes.data))
