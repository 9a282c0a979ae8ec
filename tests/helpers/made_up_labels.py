"""Made-up rows of several labels an image and of searches, and their artefacts as the protocols write them."""

import dataclasses

import numpy as np
from made_up_runs import Maker, thumbnail

from mtsccd_jax.ops import retrieval
from mtsccd_jax.ops.multilabel import class_thresholds, decide
from mtsccd_jax.recipes.config import Data, Engine, Evaluation, Labels, Model, Recipe
from mtsccd_jax.report import published, rows
from mtsccd_jax.tasks.labels import evaluate as labels_task
from mtsccd_jax.tasks.search import evaluate as search_task

LABELS = (
    "Arable land",
    "Beaches, dunes, sands",
    "Broad-leaved forest",
    "Coniferous forest",
    "Inland waters",
    "Land principally occupied by agriculture, with significant areas of natural vegetation",
    "Mixed forest",
    "Pastures",
    "Urban fabric",
)
# About the share of images that have each label.
SHARES = np.array([0.4, 0.01, 0.3, 0.34, 0.15, 0.27, 0.36, 0.2, 0.16])
PATCHES = 8


@dataclasses.dataclass(kw_only=True)
class LabelMaker(Maker):
    """Writes the rows and artefacts of one made-up run on images of several labels into a work directory."""

    name: str = "reben_resnet50_all"
    model: str = "resnet50"
    dataset: str = "bigearthnet_v2/s1_s2_10m_20m"
    bands: tuple[str, ...] = ("s1_10m_20m",)
    labels: tuple[str, ...] = LABELS
    skill: float = 1.2
    n: int = 240
    threshold: str = "half"
    resamples: int = 40

    def make_recipe(self) -> Recipe:
        """The recipe of the run."""
        name, _, config = self.dataset.partition("/")
        return dataclasses.replace(
            Recipe(self.name, "made up"),
            data=Data(dataset=name, config=config, bands=self.bands),
            model=Model(self.model, width=self.width, task="labels"),
            engine=Engine(batch_size=512, epochs=100),
            labels=Labels(threshold=self.threshold),
            evaluation=Evaluation(resamples=self.resamples),
            seed=self.seed,
        )

    def predictions(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """(labels (n, k) uint8, the same for every run; probabilities (n, k) float32) of a split."""
        truth = np.random.default_rng([self.n, len(split)])
        share = np.resize(SHARES, len(self.labels))
        label = truth.random((self.n, len(share))) < share
        label[label.sum(1) == 0, 0] = True
        logit = np.log(share / (1 - share)) + self.skill * (2.0 * label - 1) + self.random.normal(0, 1, label.shape)
        return label.astype(np.uint8), (1 / (1 + np.exp(-logit))).astype(np.float32)

    def multilabel(self, split: str = "test") -> rows.Row:
        """The row of all labels of a split."""
        label, probability = self.predictions(split)
        threshold, chosen = np.full(len(self.labels), 0.5), self.recipe.labels.threshold == "validation"
        arrays = {"training": self.training}
        if chosen:
            known, seen = self.predictions("validation")
            threshold = class_thresholds(known, seen, self.recipe.labels.objective).threshold_k
            arrays["validation"] = {"label": known, "probability": seen}
        called = decide(probability, threshold)
        shown = np.sort(np.random.default_rng(0).permutation(self.n)[:PATCHES])
        arrays["predictions"] = {
            "label": label,
            "probability": probability,
            "called": called,
            "threshold": threshold,
            "filename": np.array([f"{split}_{i:05d}" for i in range(self.n)]),
        }
        arrays["patches"] = {
            "thumb": np.stack([thumbnail(int(label[row].argmax()), int(row)) for row in shown]),
            "row": shown,
            "class_names": np.array(self.labels),
        }
        model = self.recipe.model
        return self.row(
            split,
            "multilabel",
            arrays,
            labels_task.measure(label, probability, called, resamples=self.resamples, seed=self.seed),
            dataset=self.dataset,
            paper=published.multilabel(self.dataset, model.name, self.bands, model.width, split),
            objective=self.recipe.labels.objective if chosen else None,
            class_names=list(self.labels),
            threshold_from="validation" if chosen else None,
        )

    def retrieval(self, split: str = "test", *, gallery: int = 60, queries: int = 24) -> rows.Row:
        """The row of a search; the first half of the queries is in the gallery."""
        random = np.random.default_rng(self.seed)
        label = self.predictions(split)[0][:queries]
        gallery_label = np.concatenate([label[: queries // 2], self.predictions("train")[0][: gallery - queries // 2]])
        itself = np.where(np.arange(queries) < queries // 2, np.arange(queries), -1)
        apart = 1.5 - 0.2 * self.skill * (label.astype(int) @ gallery_label.T) + random.random((queries, gallery))
        order, cutoffs = apart.argsort(1), self.recipe.retrieval.cutoffs
        figures = retrieval.query_figures(order, label, gallery_label, cutoffs=cutoffs, itself_q=itself)
        lists = np.full((queries, gallery), -1, np.int32)
        for q, (own, listed) in enumerate(zip(itself, order, strict=True)):
            lists[q, : gallery - (own >= 0)] = listed[listed != own]
        names = np.array([f"{split}_{i:05d}" for i in range(queries)])
        shown = np.flatnonzero(figures.relevant_q)[:4]
        hits = lists[shown, :6]
        texts = [
            "; ".join(name for name, there in zip(self.labels, one, strict=True) if there) for one in gallery_label
        ]
        arrays = {
            "training": self.training,
            "queries": {
                "filename": names,
                "label": label,
                "relevant": figures.relevant_q,
                "ap": figures.ap_q,
                "ndcg": figures.ndcg_q,
                "nmrr": figures.nmrr_q,
                "itself": itself.astype(np.int32),
                "ranked": lists[:, : max(cutoffs)],
                "gallery_label": gallery_label,
                "gallery_sha256": np.array("cd" * 32),
                "whole_row": np.arange(0, queries, 3),
                "whole_ranked": lists[::3],
            },
            "hits": {
                "row": shown,
                "thumb_query": np.stack([thumbnail(int(label[q].argmax()), int(q)) for q in shown]),
                "name_query": names[shown],
                "label_query": np.array([texts[0] if q == 0 else f"{self.labels[label[q].argmax()]}" for q in shown]),
                "thumb_hit": np.stack(
                    [[thumbnail(int(gallery_label[h].argmax()), 900 + int(h)) for h in line] for line in hits]
                ),
                "name_hit": np.array([[f"train_{h:05d}" for h in line] for line in hits]),
                "label_hit": np.array([[texts[h] for h in line] for line in hits]),
                "relevant_hit": (gallery_label[hits] & label[shown][:, None]).any(-1),
                "distance_hit": np.sort(random.random(hits.shape).astype(np.float32), 1),
            },
        }
        return self.row(
            split,
            "retrieval",
            arrays,
            search_task.measure(figures, itself, gallery, resamples=self.resamples, seed=self.seed),
            dataset=self.dataset,
            class_names=list(self.labels),
        )
