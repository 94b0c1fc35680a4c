"""The structure of the project: every list of packages agrees, and files follow the rules for names and size."""

import ast
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages() -> set[str]:
    return {path.parent.name for path in ROOT.glob("*/__init__.py")}


def test_every_package_is_in_the_wheel_the_import_rules_and_the_type_checker(project: dict) -> None:
    tools = project["tool"]
    assert set(tools["hatch"]["build"]["targets"]["wheel"]["packages"]) == packages()
    assert set(tools["importlinter"]["root_packages"]) == packages()
    assert set(tools["pyright"]["include"]) == packages()


def test_every_package_is_described_in_the_architecture_page() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    assert [name for name in packages() if f"`{name}/`" not in page] == []


def test_every_value_in_redis_has_an_owner_in_the_architecture_page() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    tree = ast.parse((ROOT / "features" / "online" / "redis_keys.py").read_text())
    functions = {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
    constants = {name.id for one in tree.body if isinstance(one, ast.Assign) for name in one.targets}
    keys = {one for one in functions | constants if one.lower().endswith("_key")}
    assert len(keys) > 20
    assert [one for one in sorted(keys) if f"`{one}`" not in page] == []
    owners = [line.split("|")[3] for line in page.splitlines() if line.count("|") == 6 and "_key`" in line.lower()]
    files = [one for owner in owners for one in re.findall(r"`([a-z_/]+(?:\.py)?)`", owner) if "/" in one]
    assert len(files) > 12
    assert [one for one in files if not (ROOT / one).exists()] == []


def test_no_file_names_a_package_index_or_pins_without_a_hash() -> None:
    for name in ("bootstrap", "runtime", "dev"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        assert "://" not in text
        requirements = [line for line in text.splitlines() if line and not line.startswith(" ")]
        assert requirements
        assert all(line.endswith("\\") and "==" in line for line in requirements)
        assert text.count("--hash=sha256:") >= len(requirements)


def test_modules_are_named_by_one_noun_and_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for name in (*packages(), "tests", "benchmarks")
        for path in (ROOT / name).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 500
    }
    assert long == {}


def test_nothing_loads_a_pickle() -> None:
    banned = ("import pickle", "import cloudpickle", "import joblib", "import dill")
    found = [
        str(path.relative_to(ROOT))
        for name in packages()
        for path in (ROOT / name).rglob("*.py")
        if any(word in path.read_text() for word in banned)
    ]
    assert found == []


ONE_PER_NOUN = {ROOT / "pipelines" / "commands", ROOT / "serving" / "http" / "routes"}
"""Folders whose modules are named after something public: a verb of the command, a path of the API."""


def modules() -> Iterator[Path]:
    for name in packages():
        yield from (path for path in (ROOT / name).rglob("*.py") if path.name != "__init__.py")


def public_types(path: Path) -> Iterator[str]:
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.TypeAlias):
            yield statement.name.id


def repeated(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: places for name, places in found.items() if len(places) > 1}


SPEAK_HTTP = {"http", "console"}
"""Folders of the server that may use HTTP statuses."""

STATUSES = {401, 403, 404, 405, 409, 413, 415, 422, 503}
"""Statuses of the API, except those that also occur as plain numbers elsewhere."""

HTTP_WORDS = {"fastapi", "starlette", "http", "HTTPStatus", "status_code"}


def words_of_http(path: Path) -> set[str]:
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                found |= {one.name.partition(".")[0] for one in node.names} & HTTP_WORDS
            case ast.ImportFrom(module=str() as module):
                found |= {module.partition(".")[0]} & HTTP_WORDS
            case ast.Name(id=name) | ast.Attribute(attr=name):
                found |= {name} & HTTP_WORDS
            case ast.Constant(value=number) if type(number) is int and number in STATUSES:
                found.add(str(number))
            case _:
                pass
    return found


def test_only_http_and_console_use_http_statuses() -> None:
    services = [path for path in (ROOT / "serving").rglob("*.py") if path.relative_to(ROOT).parts[1] not in SPEAK_HTTP]
    assert len(services) > 40
    found = {str(path.relative_to(ROOT)): words for path in services if (words := sorted(words_of_http(path)))}
    assert found == {}


def test_no_two_public_classes_or_type_aliases_share_a_name() -> None:
    found = defaultdict[str, list[str]](list)
    for path in modules():
        for name in public_types(path):
            if not name.startswith("_"):
                found[name].append(str(path.relative_to(ROOT)))
    assert len(found) > 500
    assert repeated(found) == {}


def test_no_two_modules_of_a_package_share_a_name() -> None:
    found = defaultdict[str, list[str]](list)
    for path in modules():
        package = path.relative_to(ROOT).parts[0]
        if path.parent not in ONE_PER_NOUN and package != "examples":
            found[f"{package}: {path.stem}"].append(str(path.relative_to(ROOT)))
    assert len(found) > 400
    assert repeated(found) == {}


def test_no_folder_has_too_many_modules() -> None:
    counts = defaultdict[str, int](int)
    for path in modules():
        if path.parent not in ONE_PER_NOUN:
            counts[str(path.parent.relative_to(ROOT))] += 1
    assert {folder: count for folder, count in counts.items() if count > 16} == {}


def imports_of(path: Path) -> Iterator[str]:
    """Our own modules that a module imports: at the top, in a function, or for types only."""
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Import):
            yield from (name.name for name in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            yield statement.module
            yield from (f"{statement.module}.{name.name}" for name in statement.names)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_there_are_no_circular_imports() -> None:
    files = {name_of(path): path for path in modules()}
    graph = {name: {other for other in imports_of(path) if other in files} for name, path in files.items()}
    assert sum(map(len, graph.values())) > 2_000
    assert list(TopologicalSorter(graph).static_order())


NAMED_OUTSIDE = {
    "features.store.materialisation_engine.PackedEngine": "Feast's configuration names it",
    "features.store.materialisation_engine.PackedEngineConfig": "Feast finds it beside PackedEngine",
    "serving.http.app.app_from_environment": "uvicorn starts it by its import path",
    "serving.http.whole_answers.WholeAnswers": "uvicorn takes it by its import path",
    "decisioning.record.document.inputs_from_record": "the inputs of a record, to try another policy on them",
    "features.online.redis_keys.household_book_key": "the key that a script builds, for people who inspect Redis",
    "features.privacy.audit_trail.acts": "reads what the writer of the audit trail writes",
}
"""Code that nothing in the project calls, each with the reason it exists."""


def own_names(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """What a module defines for others, except what a decorator registers: commands, routes, proofs."""
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if all(
                ast.unparse(one).startswith(("dataclass", "contextmanager", "cache"))
                for one in statement.decorator_list
            ):
                yield statement.name, statement
        elif isinstance(statement, ast.TypeAlias):
            yield statement.name.id, statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            yield from ((target.id, statement) for target in targets if isinstance(target, ast.Name))


def names_read(tree: ast.AST) -> Iterator[str]:
    """Every name that code reads, as a name, an attribute, an import, or in the text of an annotation."""
    for part in ast.walk(tree):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr
        elif isinstance(part, ast.ImportFrom):
            yield from (name.name for name in part.names)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.isidentifier():
            yield part.value


def test_no_code_exists_for_tests_only() -> None:
    sources = [
        *(path for name in packages() for path in (ROOT / name).rglob("*.py")),
        *(ROOT / "benchmarks").rglob("*.py"),
    ]
    read = Counter[str](name for path in sources for name in names_read(ast.parse(path.read_text())))
    unread = {
        f"{name_of(path)}.{name}"
        for path in modules()
        for name, statement in own_names(path)
        if not name.startswith("__") and read[name] == Counter(names_read(statement))[name]
    }
    assert len(read) > 5_000
    assert unread == NAMED_OUTSIDE.keys()
