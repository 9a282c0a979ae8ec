"""Tables for machines and readers; their cells cannot break them."""

from mtsccd_jax.report.tables import Cell, Table, csv_text, latex_text, markdown_text


def test_records_are_csv_whose_unknown_values_are_empty():
    table = Table("t", "", (), [], [{"a": 1, "b": None}, {"a": 0.25, "c": "x,y"}])
    assert csv_text(table) == 'a,b,c\n1,,\n0.25,,"x,y"\n'


def test_markdown_is_a_table_whose_cells_cannot_break_it():
    table = Table("t", "A caption.", (("A|B", False), ("n", True)), [[Cell("x|y", ("z",)), Cell("1")]], [])
    assert markdown_text(table).splitlines() == [
        "A caption.",
        "",
        r"| A\|B | n |",
        "| --- | ---: |",
        r"| x\|y (z) | 1 |",
    ]


def test_latex_is_a_table_whose_cells_cannot_break_it():
    cells = [[Cell("CDC_1", ("z",)), Cell("−1")], [Cell("mean"), Cell(r"\x")]]
    table = Table("t", "100 % of a_b.", (("A&B", False), ("n", True)), cells, [], {1}, ("Why #1.",))
    lines = latex_text(table).splitlines()
    assert lines[1:4] == [r"\caption{100 \% of a\_b.}", r"\begin{tabular}{lr}", r"\toprule"]
    assert lines[4:6] == [r"A\&B & n \\", r"\midrule"]
    assert lines[6:9] == [r"CDC\_1 (z) & $-$1 \\", r"\midrule", r"mean & \textbackslash{}x \\"]
    assert r"\par\footnotesize Why \#1." in lines
