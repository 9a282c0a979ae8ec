"""CDC_2: scenes classified from visual words at both dates, and the classes compared (the paper's section 3.2).

Each date has an SVM of its own, fitted on the words and scene labels of the training pairs at that date
(`change.words_svm="scenes"`). Where the pairs have no labelled training split, dictionary and SVM are fitted on the
scenes that the network was trained on, and both dates share the SVM; the artefact `words` says which. The paper does
not say whether its SVM saw scenes or pairs: with `words_svm="pairs"` one SVM predicts from both histograms of a pair
whether it changed.
"""

import logging
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.data.sources import pair_splits
from mtsccd_jax.errors import InputError
from mtsccd_jax.processes import Rows
from mtsccd_jax.report.rows import Row
from mtsccd_jax.tasks.change.decisions import Decision, change_margin, write_decision
from mtsccd_jax.tasks.change.visual_words import Dictionary, count_words, fit_dictionary
from mtsccd_jax.tasks.feature_cache import FeatureCache
from mtsccd_jax.tasks.scenes.classifier import Classifier, fit_classifier
from mtsccd_jax.tasks.scenes.source import scene_source

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WordClassifiers:
    """A dictionary of visual words and the SVMs on them."""

    dictionary: Dictionary
    svms: tuple[Classifier, ...]  # of the first and of the second date, or one of pairs, 0 unchanged and 1 changed
    class_names: tuple[str, ...] = ()  # of both dates; empty where pairs are classified

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the artefacts of a row: the dictionary, and how the penalty of each SVM was chosen."""
        words = {
            "center": self.dictionary.center_kd,
            "inertia": np.array(self.dictionary.inertia),
            "descriptors": np.array(self.dictionary.descriptors),
            "fitted_on": np.array(self.dictionary.fitted_on),
        }
        suffixes = ("_t1", "_t2") if self.class_names else ("",)
        svms = zip(suffixes, self.svms, strict=True)
        svm = {f"{name}{suffix}": array for suffix, svm in svms for name, array in svm.arrays().items()}
        return {"words": words, "svm": svm}

    def decide(self, word_t1_nk: np.ndarray, word_t2_nk: np.ndarray) -> Decision:
        """Decide which pairs changed; the distance is the margin of change, or the score of the SVM on pairs."""
        if not self.class_names:
            score = self.svms[0].scores(pair_features(word_t1_nk, word_t2_nk))
            return Decision(score.argmax(1) == 1, score[:, 1] - score[:, 0], arrays=self.arrays())
        t1, t2 = self.svms[0].scores(word_t1_nk), self.svms[1].scores(word_t2_nk)
        predicted, margin = t1.argmax(1) != t2.argmax(1), change_margin(t1, t2)
        return Decision(predicted, margin, (t1, t2), self.class_names, arrays=self.arrays())


def cdc_2(cache: FeatureCache, split: str) -> Row:
    """Write the row of CDC_2 on one split."""
    source, classifiers = cache.pairs(split), fit_classifiers(cache)
    words = count_words(cache, source, classifiers.dictionary)
    decision = classifiers.decide(words.values["image_t1"].whole, words.values["image_t2"].whole)
    return write_decision(cache.trained, words, "cdc_2", decision)


def pair_features(word_t1_nk: np.ndarray, word_t2_nk: np.ndarray) -> np.ndarray:
    """Return absolute difference and minimum of both histograms, (n, 2k); neither depends on which date came first."""
    return np.concatenate([np.abs(word_t1_nk - word_t2_nk), np.minimum(word_t1_nk, word_t2_nk)], axis=1)


def fit_classifiers(cache: FeatureCache) -> WordClassifiers:
    """Fit the dictionary and the SVMs of a network once."""
    learns = cache.trained.recipe.change.words_svm
    make = {"scenes": _of_scenes, "pairs": _of_pairs}[learns]
    return cache.once(("visual words", learns), lambda: make(cache))


def _of_pairs(cache: FeatureCache) -> WordClassifiers:
    """Fit one SVM on the histograms of the training pairs, its penalty the best in kappa on the validation pairs."""
    if not _has_training_pairs(cache):
        raise InputError(
            f"{cache.data.pairs or cache.data.pair_dataset}: change.words_svm=pairs needs pairs in the splits train "
            "and validation; add a column 'split', or use --set change.words_svm=scenes"
        )
    train = cache.pairs("train")
    sources = (train, cache.pairs("validation"))
    dictionary = fit_dictionary(cache, train)
    histograms = [count_words(cache, source, dictionary).values for source in sources]
    feature, known = (
        Rows(pair_features(words["image_t1"].own, words["image_t2"].own), words["image_t1"].share)
        for words in histograms
    )
    label, known_label = (source.column("changed").astype(np.int32) for source in sources)
    trained, name = cache.trained, f"{train.name}, train"
    if len(np.unique(label)) < 2:
        raise InputError(f"{name}: all {len(label)} pairs are of one kind; an SVM on pairs needs both")
    settings, examples, others = trained.recipe.scene, (feature, label), (known, known_label)
    fitted = fit_classifier(examples, others, 2, settings, trained.parallel, name, metric="kappa")
    logger.info(f"changed pairs from {len(dictionary.center_kd)} words by {fitted}")
    return WordClassifiers(dictionary, (fitted,))


def _of_scenes(cache: FeatureCache) -> WordClassifiers:
    """Fit one SVM a date on the training pairs, or one for both on the training scenes where pairs have no labels."""
    if _has_training_pairs(cache) and "label_t1" in cache.pairs("train").fields:
        train, validation = cache.pairs("train"), cache.pairs("validation")
        fields = [("image_t1", "label_t1"), ("image_t2", "label_t2")]
    else:
        train, validation = (scene_source(cache, split, cache.training_data) for split in ("train", "validation"))
        fields = [("image", "label")]
        logger.info(f"the pairs have no labelled training split: visual words and classes are of {train.name}")
    dictionary = fit_dictionary(cache, train)
    words, known = (count_words(cache, source, dictionary).values for source in (train, validation))
    classifiers = []
    for image, label in fields:
        examples, others = (words[image], train.column(label)), (known[image], validation.column(label))
        trained, name = cache.trained, f"{train.name}, train"
        classes, settings = len(train.class_names), trained.recipe.scene
        fitted = fit_classifier(examples, others, classes, settings, trained.parallel, name)
        logger.info(f"classes ({label}) from {len(dictionary.center_kd)} words by {fitted}")
        classifiers.append(fitted)
    return WordClassifiers(dictionary, (classifiers[0], classifiers[-1]), tuple(train.class_names))


def _has_training_pairs(cache: FeatureCache) -> bool:
    return {"train", "validation"} <= set(pair_splits(cache.data))
