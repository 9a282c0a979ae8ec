"""Names that are scripts, formulas, markup or commands of a terminal: text wherever a report writes them."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_up_runs import make_workdir
from page_reader import Reader, read
from reports import write

from mtsccd_jax.report import rows
from mtsccd_jax.report.tables import Cell, Table, csv_cell, latex_text, markdown_text

RUN = "document.title='obeyed'"
NAMES = (
    f"<script>{RUN}</script>",
    f'"><img src=x onerror="{RUN}">',
    f"</style></svg></title><svg onload={RUN}>",
    r"$\frac{a}{$ & co",
    "=1+1|cmd",
    "\x1b]0;obeyed\x07 \x00 \u202e x",
    f"]]><!-- [a](javascript:{RUN}) ![b](http://x.test/y)",
    "{{ 7 * 7 }} {% endraw %}",
    "_hidden",
    "a\nb\r\nc",
)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """The report of a run whose every name that a stranger chooses is one of these."""
    place = tmp_path_factory.mktemp("runs") / "<b onclick=x>"
    for row in make_workdir(place, share=0.01, splits=("test_a",), protocols=("cfsm",)):
        for name, relative in row.artefacts.items():
            arrays = rows.load_artefact(place, row, name)
            if "class_names" in arrays:
                stem = Path(relative).stem
                arrays["class_names"] = [*NAMES][: len(arrays["class_names"])]
                row.artefacts[name], row.checksums["artefacts"][name] = rows.save_artefact(place, stem, arrays)
        values = json.loads(json.dumps(vars(row)))
        values["class_names"] = [*NAMES][: len(row.class_names)]
        values |= {"device": NAMES[0], "commit": NAMES[1], "versions": {NAMES[2]: NAMES[1]}, "model": NAMES[5]}
        values["recipe"]["name"] = values["recipe"]["summary"] = values["recipe"]["model"]["name"] = (
            f"{NAMES[3]}{NAMES[5]}"
        )
        values["times"] = {"started": NAMES[0], "finished": NAMES[1]}
        if row.protocol == "scene":
            values |= {"dataset": f"folder:{NAMES[1]}", "split": NAMES[7]}
        rows.append(place, rows.Row(**values | {"id": f"{row.id}{NAMES[0]}"}))
    return write([place], tmp_path_factory.mktemp("out") / "<i>")


def commands(page):
    """The scripts of a page, and the attributes that are run."""
    attributes = [name for _, attrs in page.tags for name in attrs if name.startswith("on") or name == "srcdoc"]
    return [tag for tag, _ in page.tags if tag in ("script", "iframe", "object", "embed", "base")] + attributes


def test_the_page_holds_names_as_text(index):
    page = read(index)
    assert commands(page) == []
    assert NAMES[0] in page.text
    assert "{{ 7 * 7 }}" in page.text


def test_charts_are_sound_files_that_hold_names_as_text(index):
    for path in (index.parent / "figures").glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert not [e for e in root.iter() if e.tag.rpartition("}")[2] in ("script", "image", "foreignObject")]
        assert not [name for e in root.iter() for name in e.attrib if name.lower().startswith("on")]
    charts = "".join(path.read_text() for path in (index.parent / "figures").glob("*.svg"))
    assert r">$\frac{a}{$…<" in charts


def test_tables_hold_names_as_text(index):
    for path in (index.parent / "tables").glob("*.csv"):
        with path.open(newline="") as stream:
            for cell in (cell for line in csv.reader(stream) for cell in line):
                assert not cell.startswith(("=", "+", "@", "\t", "\r")), path
                assert not cell.startswith("-") or float(cell), path
    for path in (index.parent / "tables").glob("*.md"):
        assert not re.search(r"<[a-zA-Z/!]|\]\(|\x1b", path.read_text()), path


def test_a_browser_obeys_no_name(index):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    profile = f"--user-data-dir={index.parent / 'profile'}"
    done = subprocess.run([*command, profile, index.as_uri()], capture_output=True, text=True, timeout=120)
    page = Reader()
    page.feed(done.stdout)
    assert "mtsccd-jax report" in page.text, done.stderr[-500:]
    assert "<title>Land use: scenes and change · mtsccd-jax</title>" in done.stdout
    assert commands(page) == []


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("＝1", "'＝1"),
        ("-0.5", "-0.5"),
        ("+1e-3", "+1e-3"),
        (-0.5, -0.5),
        (None, None),
        ("a=b", "a=b"),
    ],
)
def test_formulas_are_text_and_numbers_stay_numbers(value, cell):
    assert csv_cell(value) == cell


def test_a_cell_stays_in_its_place():
    cells = [[Cell("[2em] *"), Cell("a\n\nb")], [Cell("* x"), Cell("<img src=x>")]]
    table = Table("t", "a & <b>", (("n", False), ("m", False)), cells, [])
    lines = latex_text(table).splitlines()
    assert r"{}[2em] * & a\textbackslash{}n\textbackslash{}nb \\" in lines
    assert r"{}* x & <img src=x> \\" in lines
    assert markdown_text(table).splitlines()[0] == "a &amp; &lt;b>"
    assert markdown_text(table).splitlines()[-2:] == [r"| [2em] * | a\n\nb |", "| * x | &lt;img src=x> |"]
