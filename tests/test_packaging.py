"""The `unreel.*` mapping: the package list is the tree, nothing loads twice, names and arrows are as written down."""

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from unreel.pipelines.decode import available

ROOT = Path(__file__).parents[1]
PARTS = ("models", "pipelines", "shards", "tools")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
ALLOWED = {
    "shards": {"shards"},
    "pipelines": {"pipelines", "shards"},
    "models": {"models", "pipelines"},
    "tools": {"models", "pipelines", "shards", "tools"},
}
"""Part → the parts that it may import. Data moves one way."""
LIBRARIES = {
    "nvidia.dali", "decord", "torchcodec", "webdataset", "ray", "onnxruntime", "onnxscript", "mlflow", "wandb",
}  # fmt: skip
BACKENDS = {f"unreel.pipelines.decode.{name}" for name in ("dali", "decord", "torchcodec")}
"""Modules that need a library of their name; `decode.make_backend` imports them when they are asked for."""
ENGINES = {"unreel.shards.engines.ray"}
"""The same, imported by `unreel build --engine` of their name."""


def modules() -> list[Path]:
    return sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("unreel", *parts)).removesuffix(".__init__")


def names_of(node: ast.AST) -> set[str]:
    """The modules that one statement imports."""
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: relative import"
        return {node.module or ""}
    return {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()


def imports_of(path: Path) -> set[str]:
    return {name for node in ast.walk(ast.parse(path.read_text())) for name in names_of(node)}


def load(name: str) -> ModuleType:
    """Import a module; a backend whose library cannot be loaded here skips the test with the reason."""
    if name in BACKENDS and (missing := available()[name.rsplit(".", 1)[1]]):
        pytest.skip(missing)
    if name in ENGINES:
        pytest.importorskip(name.rsplit(".", 1)[1])
    return importlib.import_module(name)


def test_package_list_equals_the_tree() -> None:
    on_disk = {name_of(path.parent / "__init__.py") for path in modules()}
    assert set(PROJECT["packages"]) == on_disk
    assert all((ROOT / Path(*name.split(".")[1:]) / "__init__.py").exists() for name in on_disk)


def test_package_dir_maps_the_four_parts() -> None:
    assert PROJECT["package-dir"] == {f"unreel.{part}": part for part in PARTS}
    assert all((ROOT / part / "py.typed").exists() for part in PARTS)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_arrows_between_parts(path: Path) -> None:
    part = path.relative_to(ROOT).parts[0]
    reached = {name.split(".")[1] for name in imports_of(path) if name.startswith("unreel.")}
    assert reached <= ALLOWED[part], f"{part} must not import {sorted(reached - ALLOWED[part])}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_public_names_exist(path: Path) -> None:
    module = load(name_of(path))
    missing = [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]
    assert not missing


def test_no_module_is_loaded_under_two_names() -> None:
    usable = {name for name in BACKENDS if available()[name.rsplit(".", 1)[1]] is None}
    for name in {name_of(path) for path in modules()} - BACKENDS - ENGINES | usable:
        importlib.import_module(name)
    names: dict[str, list[str]] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(ROOT) and ".venv" not in Path(file).parts:
            names.setdefault(file, []).append(name)
    assert {file: loaded for file, loaded in names.items() if len(loaded) > 1} == {}


def test_help_is_quick_to_import() -> None:
    code = "import sys, unreel.tools.cli; print(sorted({'torch', 'av', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_optional_libraries_are_imported_only_by_the_backends_named_after_them() -> None:
    for path in modules():
        at_load = {name for node in ast.parse(path.read_text()).body for name in names_of(node)}
        optional = {name for name in at_load if any(f"{name}.".startswith(f"{part}.") for part in LIBRARIES)}
        assert not optional or name_of(path) in BACKENDS | ENGINES, f"{path} imports {optional}"


def test_everything_else_imports_without_them() -> None:
    names = sorted({name_of(path) for path in modules()} - BACKENDS - ENGINES)
    code = f"import sys; [__import__(name) for name in {names}]; print(sorted(set({sorted(LIBRARIES)}) & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_locks_pin_by_hash_and_name_no_host() -> None:
    base, dev = ((ROOT / name).read_text() for name in ("requirements.lock", "requirements-dev.lock"))
    pins = [{line.split(" ")[0] for line in text.splitlines() if "==" in line} for text in (base, dev)]
    assert pins[0] <= pins[1], "the development lock must hold every pin of the base lock"
    for text in (base, dev):
        assert "--hash=sha256:" in text
        assert "://" not in text and "--index" not in text


ROOMS = [
    *sorted(f"shards/{path.parent.name}" for path in (ROOT / "shards").glob("*/__init__.py")),
    *(f"pipelines/{room}" for room in ("decode", "guards", "ops", "pretext")),
    "tools/audit",
]


@pytest.mark.parametrize("part", [*PARTS, *ROOMS])
def test_every_module_stands_in_the_table_of_its_folder(part: str) -> None:
    table = (ROOT / part / "README.md").read_text()
    here = (ROOT / part).glob("*.py")
    missing = [path.name for path in here if path.stem != "__init__" and f"`{path.name}`" not in table]
    assert not missing, f"{part}/README.md says nothing of {missing}"
