"""docs/performance.md says what the results say, and its example runs."""

import json
import re

from benchmarks.performance_page import PAGE, RESULTS, fill, markdown


def test_the_tables_are_those_of_the_results():
    """If this fails: python -m benchmarks.performance_page"""
    assert fill(PAGE.read_text()) == PAGE.read_text()


def test_another_result_makes_another_page(tmp_path):
    for name in ("moe_layer", "backbone"):
        result = json.loads((RESULTS / f"{name}.json").read_text())
        for row in result.get("rows", []):
            row["ratio_to_dense"] = 7.125
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    assert fill(PAGE.read_text(), tmp_path).count("| 7.12 |") >= 6


def test_a_table():
    assert markdown(["a", "b"], [[1, 0.126], ["x", None]]) == (
        "| a | b |\n| --- | --- |\n| 1 | 0.13 |\n| x |  |"
    )


def test_the_example_of_the_page():
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S):
        exec(compile(block, str(PAGE), "exec"), names)
    row = names["row"]
    assert (row.block, row.branch, row.modality) == (0, "specialized", "optical")
    assert sum(row.load) == 3 * 2 * 24 * 24
