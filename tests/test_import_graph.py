"""Imports only point down: reads the import graph of the package and fails on an upward, mutual or hidden import."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parent.parent / "seqmodels"

# Each line imports from the lines above it; within a line from one another, but never mutually.
LAYERS = (
    ("errors",),
    ("argument_types",),
    ("masking", "first_derivative", "registry", "precision", "checkpoint_file", "listing", "processes"),
    ("data", "encoders", "embedders", "attention", "pooling", "crf", "tags", "dropout", "losses"),
    ("linear_cross_entropy", "activation_regularization", "neural_cache", "dynamic_evaluation"),
    ("heads",),
    ("conformance",),
    ("metrics",),
    ("decoders",),
    ("networks",),
    ("generation",),
    ("inference",),
    ("tasks",),
    ("diagnostics",),
    ("callbacks",),
    ("cli", "__main__", "__init__"),
)

# Who may import what at module level; the others do so inside the function that needs it, or not at all.
HEAVY = {
    "lightning": ("tasks", "callbacks", "cli", "data.data_module", "data.labelled_sequences", "data.splits"),
    "torchmetrics": ("metrics", "tasks", "callbacks"),
    "tensorboard": ("callbacks",),
    "transformers": (),
    "datasets": (),
    "matplotlib": (),
    "pandas": (),
}

# What a module's import must not bring along, through whatever it imports.
LIGHT = {
    "__main__": {"torch", "numpy", "datasets", *HEAVY},
    "__init__": {"torch", "numpy", *HEAVY},
    "inference.load": set(HEAVY),
    "networks.__init__": set(HEAVY),
    "encoders.__init__": set(HEAVY),
    "data.readers.__init__": set(HEAVY),
}

# These answer before they import: the package's lazy names, the command line.
LAZY = ("__init__", "__main__", "cli")


class Import(NamedTuple):
    """One import of a module: `target` is a module of the package (without its name) or, `foreign`, of another."""

    source: str
    target: str
    foreign: bool
    inside_function: bool
    line: int


def modules_of(package: Path) -> dict[str, Path]:
    """Returns the modules of a package by their dotted names below it; a folder is its `__init__`."""
    return {".".join(path.relative_to(package).with_suffix("").parts): path for path in sorted(package.rglob("*.py"))}


def imports_of(package: Path) -> list[Import]:
    """Returns the imports in a package; of those for type checkers alone, its own outside its `__init__`."""
    modules = modules_of(package)
    found = []
    for name, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node, inside, typing in _import_nodes(tree):
            for target in _targets(node, name):
                own, rest = _within(target, package.name)
                if not typing or (own and name != "__init__"):
                    resolved = _module(rest, modules) if own else target.split(".")[0]
                    found.append(Import(name, resolved, not own, inside, node.lineno))
    return found


def _import_nodes(
    node: ast.AST, inside: bool = False, typing: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool, bool]]:
    """Yields the import statements below a node, whether in a function, and whether for type checkers alone."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield node, inside, typing
    inside = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    typing = typing or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    for child in ast.iter_child_nodes(node):
        yield from _import_nodes(child, inside, typing)


def _targets(node: ast.Import | ast.ImportFrom, name: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert not node.level, f"{name}:{node.lineno}: relative imports hide where a name is from; write the whole path"
    return [f"{node.module}.{alias.name}" for alias in node.names]


def _within(target: str, package: str) -> tuple[bool, str]:
    own = target == package or target.startswith(package + ".")
    return own, target.removeprefix(package).removeprefix(".")


def _module(target: str, modules: Iterable[str]) -> str:
    """Returns the module that `a.b.name` is in: `a.b.name`, `a.b` or their `__init__`."""
    parts = target.split(".") if target else []
    while parts:
        for candidate in (".".join(parts), ".".join([*parts, "__init__"])):
            if candidate in modules:
                return candidate
        parts.pop()
    return "__init__"


def unplaced(modules: Iterable[str]) -> list[str]:
    """Returns the top-level names that no layer has."""
    placed = {name for layer in LAYERS for name in layer}
    return sorted({module.split(".")[0] for module in modules} - placed)


def upward(imports: Iterable[Import]) -> list[str]:
    """Returns the imports that point from a layer to a higher one."""
    height = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    return [
        f"{found.source}:{found.line} imports {found.target}, which is above it"
        for found in imports
        if not found.foreign and height.get(found.source.split(".")[0], 0) < height.get(found.target.split(".")[0], 0)
    ]


def hidden(imports: Iterable[Import]) -> list[str]:
    """Returns the imports of the package itself inside a function."""
    return [
        f"{found.source}:{found.line} imports {found.target} inside a function"
        for found in imports
        if not found.foreign and found.inside_function and found.source not in LAZY
    ]


def heavy(imports: Iterable[Import]) -> list[str]:
    """Returns the module-level imports of heavy packages where they are not allowed."""
    return [
        f"{found.source}:{found.line} imports {found.target} at module level"
        for found in imports
        if found.foreign
        and found.target in HEAVY
        and not found.inside_function
        and not any(found.source == name or found.source.startswith(name + ".") for name in HEAVY[found.target])
    ]


def edges_of(imports: Iterable[Import]) -> dict[str, set[str]]:
    """Returns, for each module, the modules of the package that it imports."""
    edges: dict[str, set[str]] = {}
    for found in imports:
        if not found.foreign and found.source != found.target:
            edges.setdefault(found.source, set()).add(found.target)
    return edges


def drawers_of(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Returns the same between top-level packages and modules."""
    drawers: dict[str, set[str]] = {}
    for source, targets in edges.items():
        top = source.split(".")[0]
        drawers.setdefault(top, set()).update({target.split(".")[0] for target in targets} - {top})
    return drawers


def cycles(edges: dict[str, set[str]]) -> list[str]:
    """Returns the cycles of a graph, one for each import that closes one, as `a -> b -> a`."""
    found, done = [], set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append(" -> ".join([*path[path.index(name) :], name]))
        elif name not in done:
            for target in sorted(edges.get(name, ())):
                visit(target, [*path, name])
            done.add(name)

    for name in sorted(edges):
        visit(name, [])
    return found


def brought_along(imports: list[Import], start: str, modules: Iterable[str]) -> dict[str, str]:
    """Returns the foreign packages that importing `start` imports, each with the module of ours that does it."""
    at_once = [found for found in imports if not found.inside_function]
    reached, pending, foreign = set(), [start], {}
    while pending:
        name = pending.pop()
        if name in reached:
            continue
        reached.add(name)
        parts = name.split(".")
        pending += [
            parent for size in range(len(parts)) if (parent := ".".join([*parts[:size], "__init__"])) in modules
        ]
        for found in at_once:
            if found.source == name and found.foreign:
                foreign.setdefault(found.target, name)
            elif found.source == name:
                pending.append(found.target)
    return foreign


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return imports_of(PACKAGE)


def test_every_module_has_a_layer() -> None:
    assert unplaced(modules_of(PACKAGE)) == [], "give the new name a line of LAYERS and of the design"


def test_imports_point_down(imports: list[Import]) -> None:
    assert upward(imports) == []


def test_no_module_imports_itself_through_others(imports: list[Import]) -> None:
    assert cycles(edges_of(imports)) == []


def test_no_packages_import_each_other(imports: list[Import]) -> None:
    assert cycles(drawers_of(edges_of(imports))) == []


def test_no_import_of_the_package_inside_a_function(imports: list[Import]) -> None:
    assert hidden(imports) == []


def test_heavy_packages_are_imported_where_they_are_needed(imports: list[Import]) -> None:
    assert heavy(imports) == []


@pytest.mark.parametrize("start", LIGHT)
def test_light_modules_bring_nothing_heavy_along(imports: list[Import], start: str) -> None:
    modules = modules_of(PACKAGE)
    if start not in modules:
        pytest.skip(f"there is no {start}")
    brought = brought_along(imports, start, modules)
    assert {name: by for name, by in brought.items() if name in LIGHT[start]} == {}


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A package with one fault of each kind."""
    files = {
        "__init__": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fake.tasks.task import Task\n",
        "errors": "",
        "masking": "from fake.errors import Error\nimport fake.tasks.task\n",
        "registry": "def f():\n    from fake import errors\n    import lightning\n",
        "novelty": "",
        "encoders.__init__": "from fake.encoders.lstm import LSTM\n",
        "encoders.lstm": "from fake.data.batch import Batch\nfrom fake.encoders import gru\n",
        "encoders.gru": "from fake.encoders.lstm import LSTM\n",
        "data.__init__": "",
        "data.batch": "import datasets\n",
        "data.view": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torchmetrics\n",
        "data.reader": "from fake.encoders import LSTM\n",
        "tasks.__init__": "",
        "tasks.task": "import lightning.pytorch as pl\nfrom fake.encoders.lstm import LSTM\n",
    }
    for name, text in files.items():
        path = (tmp_path / "fake").joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "fake"


def test_the_check_finds_a_module_without_a_layer(faulty: Path) -> None:
    assert unplaced(modules_of(faulty)) == ["novelty"]


def test_the_check_finds_an_upward_import(faulty: Path) -> None:
    assert upward(imports_of(faulty)) == ["masking:2 imports tasks.task, which is above it"]


def test_the_check_finds_a_hidden_import(faulty: Path) -> None:
    assert hidden(imports_of(faulty)) == ["registry:2 imports errors inside a function"]


def test_the_check_finds_a_heavy_import(faulty: Path) -> None:
    assert heavy(imports_of(faulty)) == ["data.batch:1 imports datasets at module level"]


def test_the_check_finds_cycles(faulty: Path) -> None:
    edges = edges_of(imports_of(faulty))
    assert cycles(edges) == ["encoders.lstm -> encoders.gru -> encoders.lstm"]
    assert cycles(drawers_of(edges)) == ["data -> encoders -> data"]


def test_the_check_follows_imports(faulty: Path) -> None:
    assert brought_along(imports_of(faulty), "encoders.gru", modules_of(faulty)) == {
        "datasets": "data.batch",
        "typing": "__init__",
    }


def test_the_check_refuses_relative_imports(tmp_path: Path) -> None:
    (tmp_path / "errors.py").write_text("from . import masking\n")
    with pytest.raises(AssertionError, match="errors:1: relative imports"):
        imports_of(tmp_path)
