"""What gateway and worker refuse they refuse under ``python -O`` too."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    module for package in ("gateway", "gpu_worker", "shared") for module in sorted((ROOT / package).rglob("*.py"))
]


def asserts_outside_checks(tree: ast.AST) -> list[int]:
    """Return the lines of asserts that stand in no method called ``check``."""
    if isinstance(tree, ast.FunctionDef) and tree.name == "check":
        return []
    own = [tree.lineno] if isinstance(tree, ast.Assert) else []
    return own + [line for child in ast.iter_child_nodes(tree) for line in asserts_outside_checks(child)]


@pytest.mark.parametrize("file", MODULES, ids=str)
def test_only_checks_assert(file):
    """Asserts stand in check methods alone: everywhere else an error is raised that no option removes."""
    assert asserts_outside_checks(ast.parse(file.read_text())) == []


def test_a_planted_assert_is_found():
    """An assert in any other function is found; one in a check method is not."""
    assert asserts_outside_checks(
        ast.parse("def move(self):\n    assert self.open\ndef check(self):\n    assert 1")
    ) == [2]
