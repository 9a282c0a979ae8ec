"""The audit of published values: Table 7's three counts, any file of such values, and what is refused of a file."""

import json

import pytest

from mtsccd_jax.errors import InputError
from mtsccd_jax.report.published import audit


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_table_7_as_a_file_gives_the_same_counts(tmp_path):
    entries = audit.table_7()
    lines = ["Method,OA,Kappa,n,positives"]
    lines += [f"{e.label['method']} {e.label['network']},{e.oa},{e.kappa},{e.n},{e.positives}" for e in entries]
    from_csv = audit.audit(write(tmp_path / "table.csv", "\n".join(lines) + "\n"))
    records = [{"of": e.label, "oa": e.oa, "kappa": e.kappa, "n": e.n, "positives": e.positives} for e in entries]
    from_json = audit.audit(write(tmp_path / "table.json", json.dumps(records)))
    assert audit.counts(from_csv) == audit.counts(from_json) == audit.counts(audit.audit())
    assert from_csv[0].entry.label == {"method": "CDC_1 AlexNet"}


def test_what_is_said_depends_on_what_is_known(tmp_path):
    text = "\ufeffoa, kappa ,n,positives,note\n0.9,0.9,,,a\n0.8163,0.0,5078,933,b\n\n0.9,0.5,10,,c\n0.95,0.5,10,,d\n"
    text += "0.9,0.5,,,e\n0.1,-0.9,,,f\n0.9,0.7,10,2,g\n"
    findings = audit.audit(write(tmp_path / "mine.csv", text))
    said = {finding.entry.label["note"]: finding for finding in findings}
    assert said["a"].text == "impossible: kappa is at most 0.8020"
    assert said["b"].audit.all_unchanged
    assert said["c"].text == said["e"].text == "possible"
    assert said["d"].text == "no table of 10 rounds to both"
    assert said["f"].text == "impossible: kappa is too low"
    assert said["g"].record["table"] is None
    assert said["g"].text == "no table of 10 with 2 positives rounds to both"
    assert said["c"].audit.all_unchanged is None
    assert [finding.state for finding in findings] == [
        *("impossible", "possible", "possible", "no_table"),
        *("possible", "impossible", "no_table"),
    ]
    assert audit.counts(findings) == {
        **{"entries": 7, "impossible": 2, "no_table": 2, "not_decided": 0},
        **{"all_unchanged": 1, "recovered": 1},
    }


def test_a_recovered_table_is_that_of_the_numbers(tmp_path):
    (finding,) = audit.audit(write(tmp_path / "one.csv", "oa,kappa,n,positives\n0.8533,0.5202,5078,933\n"))
    assert finding.record["table"] == (3749, 396, 349, 584)
    assert "TN 3749" in finding.text


def test_numbers_that_are_cut_off_are_not_refused(tmp_path):
    # 2/3 of 3 examples is 0.6667 rounded and 0.6666 cut off.
    (finding,) = audit.audit(write(tmp_path / "cut.csv", "oa,kappa,n,positives\n0.6666,0.4,3,1\n"))
    assert (finding.state, finding.text) == ("possible", "possible if both are cut off, not rounded")


def test_values_have_the_decimals_that_are_there(tmp_path):
    text = "oa,kappa,n,positives\n0.666667,0.4,3,1\n0.666668,0.4,3,1\n0.6667,0.4,3,1\n0.66666666666667,0.4,3,1\n"
    states = [finding.state for finding in audit.audit(write(tmp_path / "six.csv", text))]
    assert states == ["possible", "no_table", "possible", "possible"]


def test_tables_of_several_classes_and_labels_are_read_and_decided(tmp_path):
    text = """name,classes,labels,n,oa,kappa,f1,f1_macro,f1_micro,precision_macro,recall_macro,decimals
ten,10,,,0.7037,0.6655,,,,,,
too high,10,,,0.7037,0.6955,,,,,,
counted,120;80;40,,,0.83,0.7286,,,,,,
means,3,,,,,0.9; 0.8 ;-,0.9,,,,
wrong mean,3,,,,,0.9 0.8 0.7,0.9,,,,
means of labels,,19,,,,,0.62,,0.60,0.70,2
too high of labels,,19,,,,,0.70,,0.60,0.70,2
two,,,,0.8163,0.8163,,,,,,
"""
    findings = audit.audit(write(tmp_path / "several.csv", text))
    states = {finding.entry.label["name"]: finding.state for finding in findings}
    assert states == {
        "ten": "possible",
        "too high": "impossible",
        "counted": "no_table",  # 0.83 of 240 is 199.2
        "means": "not_decided",
        "wrong mean": "impossible",
        "means of labels": "possible",
        "too high of labels": "impossible",
        "two": "impossible",
    }
    assert findings[1].text == "impossible: kappa is at most 0.6842 with this OA and 10 classes"
    assert findings[4].text == "impossible: the mean f1 of all classes is 0.8000"
    assert findings[2].record["classes"] == 3
    assert (findings[3].record["f1"], findings[3].record["possible"]) == ((0.9, 0.8, None), None)
    assert audit.counts(findings)["not_decided"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes,oa\n1,0.5\n", "line 2: classes is 1, outside 2 to 200"),
        ("classes,oa\n5;-3,0.5\n", "line 2: examples of a class is -3, outside 0 to 1,000,000"),
        ("classes,labels,f1_macro\n3,3,0.5\n", "line 2: classes and labels"),
        ("labels,oa\n3,0.5\n", "line 2: oa is of one class an example"),
        ("classes,f1\n3,0.5;0.5\n", "line 2: f1 has 2 values for 3 classes"),
        ("classes,f1\n3,0.5;0.5;50\n", "line 2: f1 is 50, outside 0 to 1; write shares"),
        ("classes,note\n3,a\n", "line 2: no score; give any of oa, kappa"),
        ("classes,oa,n\n5;5,0.5,11\n", "line 2: the classes have 10 examples, n is 11"),
        ("classes,oa\n0;0,0.5\n", "line 2: the classes have 0 examples"),
        ("labels,f1_macro,n\n5;50,0.5,11\n", "line 2: a label of 50 examples, n is 11"),
        ("classes,oa,positives\n3,0.5,7\n", "line 2: positives is of two classes"),
        ("classes,oa,decimals\n3,0.5123,2\n", "line 2: a value of 4 decimals, where decimals is 2"),
        ("classes,oa,decimals\n3,0.5,7\n", "line 2: decimals is 7, outside 1 to 6"),
        ("classes,oa,kappa,f1_macro\n,0.5,0.1,0.4\n", "line 2: f1_macro needs classes or labels"),
        ("classes,oa,kappa\n,0.5,\n", "line 2: no kappa; every entry needs oa and kappa, or classes or labels"),
        ("oa,kappa,n,decimals\n0.5,0.1,20000,2\n", "line 2: n is 20,000, more than the 10,000"),
        ('[{"classes": [3, "x"], "oa": 0.5}]', "entry 1: examples of a class is 'x', not a number"),
        ('[{"classes": {"a": 1}, "oa": 0.5}]', "entry 1: classes is .*, not a number"),
        ("oa,kappa\n0.8,0.2\n1.2,0.3\n", r"line 3: oa is 1\.2, outside 0 to 1; write shares, not per cent"),
        ("oa,kappa\n63.17,0.3\n", r"line 2: oa is 63\.17, outside 0 to 1; write shares, not per cent"),
        ("oa,kappa\n0.8,-1.5\n", r"line 2: kappa is -1\.5, outside -1 to 1"),
        ("oa,n\n0.8,5\n", r"line 1: no column kappa; the columns are oa, kappa\[, n, positives\]"),
        ("a,b\n", "line 1: no column oa and kappa"),
        ("", "line 1: no column oa and kappa"),
        ("oa,oa,kappa\n1,1,1\n", "line 1: the column oa is there twice"),
        ("oa,kappa\n", "no entries"),
        ("oa,kappa\nhigh,0.3\n", "line 2: oa is 'high', not a number"),
        ("oa,kappa\nnan,0.3\n", "line 2: oa is 'nan', not a number"),
        ("oa,kappa\n,0.3\n", "line 2: no oa; every entry needs oa and kappa"),
        ("oa,kappa,positives\n0.8,0.3,12\n", "line 2: positives without n says nothing"),
        ("oa,kappa,n,positives\n0.8,0.3,,12\n", "line 2: positives without n says nothing"),
        ("oa,kappa,n,positives\n0.8,0.3,10,12\n", "line 2: 12 positives among 10 examples"),
        ("oa,kappa,n\n0.8,0.3,10.5\n", r"line 2: n is 10\.5, not a whole number"),
        ("oa,kappa,n\n0.8,0.3,0\n", "line 2: n is 0, outside 1 to 1,000,000"),
        ("oa,kappa\n0.8,0.3,7\n", "line 2: 3 values under 2 columns"),
        ('oa,kappa\n"0.8\n', r"line 2: unexpected end of data; close or remove the quotes"),
        ('[{"oa": 1.5, "kappa": 0}]', "entry 1: oa is 1.5, outside 0 to 1"),
        ('[{"oa": 0.5, "kappa": 0}, {"oa": true, "kappa": 0}]', "entry 2: oa is True, not a number"),
        ('[{"oa": 0.5, "kappa": [1]}]', "entry 1: kappa is .1., not a number"),
        ('[{"oa": 0.5}]', "entry 1: no column kappa"),
        ("[3]", "entry 1: not an object"),
        ('{"oa": 1}', "not a list of objects"),
        ("[\n{,\n]", "line 2: not JSON"),
        ("[]", "no entries"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(tmp_path, text, message):
    path = write(tmp_path / ("bad.json" if text.startswith(("[", "{")) else "bad.csv"), text)
    with pytest.raises(InputError, match=message) as caught:
        audit.audit(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        audit.audit(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"PK\x03\x04\x81")
    with pytest.raises(InputError, match="not a text file"):
        audit.audit(tmp_path / "binary.csv")
