"""The house rules that no linter holds: sizes, what imports what, what must not be in a file."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "raydr").rglob("*.py"))
RAY_EDGE = ("data", "training", "search", "study", "inference", "workflows")
MLFLOW_EDGE = ("tracking",)


def _imports(tree: ast.AST) -> Iterator[str]:
    """The names of everything imported, at the top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def foreign_imports(source: str, library: str) -> list[str]:
    """What of ``library`` a module imports."""
    return [name for name in _imports(ast.parse(source)) if name.split(".")[0] == library]


def unsafe_loads(source: str) -> list[int]:
    """The lines that load pickles: torch.load without weights_only=True, or pickle itself."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        safe = any(
            keyword.arg == "weights_only" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            for keyword in node.keywords
        )
        if (name == "torch.load" and not safe) or re.fullmatch(r"(cloud)?pickle\.loads?|joblib\.load", name):
            found.append(node.lineno)
    return found


# Put together here, so that this file does not hold what it looks for.
_REGISTRIES = ["py" + r"pi\.org", "python" + r"hosted\.org", "docker" + r"\.io", "gh" + r"cr\.io", "qu" + r"ay\.io"]
_REGISTRIES += [
    "gc" + r"r\.io",
    "docker" + r"\.pkg\.dev",
    "dk" + r"r\.ecr",
    "anaconda" + r"\.org",
    "--(extra-)?index" + "-url",
]
_MACHINE = r"(?<![\w.:/$}~-])/(?:work|home/(?!ray\b)\w+|Users/\w+|root|mnt|scratch)/\w"


def forbidden_text(text: str) -> list[str]:
    """Registry hosts and absolute paths of a machine in ``text``."""
    return [match.group() for match in re.finditer("|".join([*_REGISTRIES, _MACHINE]), text)]


def _tracked_files() -> list[Path]:
    """Every text file that is, or is about to be, in version control; what is installed and made is not."""
    if shutil.which("git") and (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    folders = ("raydr", "tests", "jobs", "cluster")
    return [*(file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()), *ROOT.glob("*.*")]


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in SOURCES}
    assert len(lengths) > 20
    assert {name: length for name, length in lengths.items() if length > 300} == {}


@pytest.mark.parametrize("module", ["raydr", "raydr.cli", "raydr.config.load", "raydr.errors"])
def test_importing_the_front_door_pulls_in_no_heavy_library(module: str) -> None:
    program = f"import sys, {module}; print(sorted({{'torch', 'ray', 'mlflow', 'timm', 'pyarrow'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("library", "edge"), [("ray", RAY_EDGE), ("mlflow", MLFLOW_EDGE)])
def test_ray_and_mlflow_live_only_at_the_edge(library: str, edge: tuple[str, ...]) -> None:
    inside = [file for file in SOURCES if file.relative_to(ROOT / "raydr").parts[0] not in edge]
    found = {
        str(file.relative_to(ROOT)): names for file in inside if (names := foreign_imports(file.read_text(), library))
    }
    assert found == {}


def test_the_scan_for_imports_sees_them_wherever_they_are() -> None:
    assert foreign_imports("def f():\n    import ray.data as data", "ray") == ["ray.data"]
    assert foreign_imports("from ray import tune", "ray") == ["ray"]
    assert foreign_imports("import raydr.config\nfrom raydr import ray", "ray") == []


def test_nothing_is_unpickled() -> None:
    found = {str(file.relative_to(ROOT)): lines for file in SOURCES if (lines := unsafe_loads(file.read_text()))}
    assert found == {}


def test_the_scan_for_pickles_sees_them() -> None:
    assert unsafe_loads("torch.load(path, weights_only=True)") == []
    for bad in ("torch.load(path)", "torch.load(path, weights_only=False)", "torch.load(p, weights_only=safe)"):
        assert unsafe_loads(bad) == [1]
    assert unsafe_loads("x = 1\npickle.load(file)") == [2]


def test_no_registry_host_and_no_path_of_a_machine_is_in_any_file() -> None:
    found = {}
    for file in _tracked_files():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        if hits := forbidden_text(text):
            found[str(file.relative_to(ROOT))] = hits
    assert found == {}


def test_the_scan_for_hosts_and_paths_sees_them_and_nothing_else() -> None:
    for bad in ("image: docker" + ".io/x", "pip --index" + "-url=x", 'open("/wo' + 'rk/main")', "cd /ho" + "me/me/x"):
        assert forbidden_text(bad), bad
    for good in ("../work/x", "s3://b/work/x", "folder/mnt/x", "the image's workingDir: /home/ray/raydr", "tmp_path"):
        assert forbidden_text(good) == [], good
