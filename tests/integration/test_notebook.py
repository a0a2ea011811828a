"""The example notebook runs, cell by cell, and what it ends its cells with shows itself."""

from __future__ import annotations

import ast
import json
import pathlib
from typing import Any

NOTEBOOK = pathlib.Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"


def held() -> dict[str, Any]:
    return dict(json.loads(NOTEBOOK.read_text(encoding="utf-8")))


def shown(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell as Jupyter does; gives the value of its last line where that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), namespace)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), namespace) if last is not None else None


def test_every_cell_runs_and_every_result_shows_itself(tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    pictures = []
    for cell in held()["cells"]:
        if cell["cell_type"] != "code":
            continue
        value = shown("".join(cell["source"]), namespace)
        if value is not None and not isinstance(value, list):
            show = getattr(value, "_repr_html_", None) or value._repr_svg_
            pictures.append(show())
    assert len(pictures) == 5 and all(picture.strip().startswith("<") for picture in pictures)
    assert list(tmp_path.iterdir()) == []


def test_it_is_a_notebook_without_outputs() -> None:
    notebook = held()
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        wanted = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            wanted |= {"outputs", "execution_count"}
        assert set(cell) == wanted and all(isinstance(line, str) for line in cell["source"])
