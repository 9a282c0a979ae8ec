"""The page on image search: its table, sentences, and the sheet of hits."""

import dataclasses
import io

import numpy as np
import pytest
from made_up_labels import LabelMaker
from PIL import Image
from reports import runs_of, sentence, writer_of

from mtsccd_jax.report import results, rows
from mtsccd_jax.report.pictures import photos
from mtsccd_jax.tasks.search.photos import Search, Seen, search_sheet
from mtsccd_jax.tasks.search.report import retrieval_table, search_folds, search_of, search_section


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A row of a search, and the folder of its work directory. Not to be written to."""
    root = tmp_path_factory.mktemp("search")
    return LabelMaker(root / "vit", name="reben_vit", model="vit_base_patch8").retrieval(), root


def test_searches_have_their_metrics_by_name(made):
    row, _ = made
    table = retrieval_table(runs_of([row]))
    titles = [title for title, _ in table.columns]
    assert {"mAP", "P@1", "P@20", "mAP@10", "NDCG", "ANMRR"} <= set(titles)
    (line,) = table.rows
    assert line[titles.index("P@5")].text == f"{row.metrics['precision_at_5']['value']:.3f}"
    assert line[-1].text == f"{row.baseline['map']:.3f}"
    assert "searched in train" in line[0].notes
    assert table.records[0]["map_at_5_of_found"] == row.metrics["map_at_5_of_found"]["value"]


def test_rows_of_other_searches_are_no_repetitions(made):
    row, _ = made
    other = dataclasses.replace(row, id="other", recipe=row.recipe | {"retrieval": {"metric": "cosine"}})
    again = dataclasses.replace(row, id="again", seed=1)
    (run,) = runs_of([row, other, again])
    assert [[member.id for member in repeats] for repeats in run.repeats] == [[row.id, "again"], ["other"]]


def test_hits_stand_with_their_labels_and_distances(made, tmp_path):
    row, root = made
    writer = writer_of(root, tmp_path)
    (fold,) = search_folds(writer, runs_of([row]))
    assert fold.title == "BigEarthNet v2 test, ViT-B/8-224"
    hits = rows.load_artefact(root / "vit", row, "hits")
    for query in range(len(hits["name_query"])):
        search = search_of(hits, query)
        assert [hit.distance for hit in search.hits] == hits["distance_hit"][query].tolist()
        assert [hit.relevant for hit in search.hits] == hits["relevant_hit"][query].tolist()
    hits["name_hit"][0, 2:] = ""
    assert len(search_of(hits, 0).hits) == 2
    (missing,) = search_folds(writer, runs_of([dataclasses.replace(row, artefacts={})]))
    assert "names no “hits” artefact" in missing.blocks[0].content
    (section,) = search_section(writer, runs_of([row]))
    assert len(section.blocks[1].content) == 2
    assert results.charts_by_archive(writer, [row], [("none", "", "")], "x") == []


def test_sentences_say_how_rows_stand_to_a_random_order(made):
    row, _ = made
    assert f"24 queries in train: mAP {row.metrics['map']['value']:.3f}" in sentence(row)
    assert "of the first 10 hits are relevant" in sentence(row)
    worse = dataclasses.replace(row, baseline=row.baseline | {"map": 1.0})
    assert "the network does worse than that" in sentence(worse)


def test_a_search_shows_the_query_and_its_hits_and_which_are_wrong():
    query = Seen(np.full((96, 96, 3), 10, np.uint8), "forest.png")
    long = "Land principally occupied by agriculture; Mixed forest; Coastal lagoons"
    hits = [
        Seen(np.full((96, 96, 3), 20 + place, np.uint8), caption, 0.125 * place, relevant)
        for place, (caption, relevant) in enumerate([("Forest", True), (long, False)])
    ]
    with Image.open(io.BytesIO(search_sheet([Search(query, tuple(hits)), Search(query, ())]))) as image:
        assert image.format == "PNG"
        whole = np.asarray(image)
    for value, times in ((10, 2), (20, 1), (21, 1)):
        assert (whole == value).all(axis=-1).sum() >= times * photos.THUMB**2
    left = (whole == 21).all(axis=-1).any(0).argmax()
    right = left + photos.THUMB
    assert (whole[:, right + 2 :] == 255).all(), "long captions are cut at the width of their photograph"
    reddish = (whole[..., 0].astype(int) - whole[..., 2] > 100).any(0)
    assert reddish[left:right].any()
    assert not reddish[:left].any()
    assert search_sheet([])
