"""The documentation names files, modules, commands, options and parameters: all of them must exist."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from fashion_ops.cli import app as product
from fashion_ops.params import OLD_KEYS, Params
from papers.command import app as papers

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMENTED = [ROOT / "params.yaml", *sorted((ROOT / "configs").rglob("*.yaml"))]
COMMENTED += sorted((ROOT / "infra").rglob("*.yaml"))
PACKAGES = "fashion_ops|pipelines|papers|bench|tests"
FOLDERS = f"{PACKAGES}|configs|infra|docs"
PLACEHOLDER = re.compile(r"^[A-Z][A-Z_]*$")
PLACEHOLDERS = re.compile(r"/[A-Z]{3,}")
NO_PATHS = {"fashion_ops/current"}  # a tag of Dagster's runs
COMMANDS = {
    ("fashion-ops",): typer.main.get_command(product),
    ("python", "-m", "papers"): typer.main.get_command(papers),
}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def code_of(text: str) -> Iterator[str]:
    """Each line of fenced and indented code blocks, then the inline code of the prose."""
    fenced, prose = False, []
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()
        else:
            prose.append(line.removeprefix("# "))
    yield from re.findall(r"`([^`]+)`", "\n".join(prose))


def calls_of(text: str) -> Iterator[list[str]]:
    """Words of each command in the code of a text: no comments, no variables set in front."""
    for code in code_of(text):
        for part in re.split(r"&&|;|\|", re.split(r"\s#", code)[0]):
            try:
                words = shlex.split(part)
            except ValueError:  # a command that goes on in the next line
                continue
            while words and re.match(r"^[A-Z_]+=", words[0]):
                words.pop(0)
            yield words


def wrong_in_call(words: list[str]) -> str | None:
    """What a call of ``fashion-ops`` or ``python -m papers`` says that the command line lacks."""
    for start, command in COMMANDS.items():
        if tuple(words[: len(start)]) == start:
            rest = words[len(start) :]
            while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
                name = rest.pop(0)
                if PLACEHOLDER.match(name):
                    return None
                if name not in command.commands:
                    return f"{' '.join(words)}: no command {name}"
                command = command.commands[name]
            options = {
                option for param in command.params for option in (*param.opts, *param.secondary_opts)
            }
            unknown = [
                w for w in rest if w.startswith("--") and w.split("=")[0] not in options | {"--help"}
            ]
            return f"{' '.join(words)}: no option {unknown}" if unknown else None
    return None


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def names_module(dotted: str) -> bool:
    """Whether a dotted name is a module, or a name that a module's source holds."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:n])
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if source.is_file():
            rest = parts[n:]
            return not rest or (
                len(rest) == 1 and bool(re.search(rf"\b{rest[0]}\b", source.read_text()))
            )
    return False


def is_parameter(dotted: str) -> bool:
    model: type[BaseModel] = Params
    for key in dotted.split("."):
        names = {info.alias or name: info.annotation for name, info in model.model_fields.items()}
        names |= {name: info.annotation for name, info in model.model_fields.items()}
        if key not in names:
            return False
        inner = names[key]
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return True
        model = inner
    return True


@each_page
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    paths = re.findall(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./*-]+", text)
    paths = [p for p in paths if not PLACEHOLDERS.search(p) and p not in NO_PATHS]
    missing = [p for p in paths if not any(ROOT.glob(p.rstrip("./")))]
    tests = [
        name for name in re.findall(r"\btest_\w+\.py", text) if not any((ROOT / "tests").rglob(name))
    ]
    assert not missing + tests


@each_page
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        name, _, part = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        headings = path.read_text().splitlines() if part and path.is_file() else []
        anchors = {anchor(line.lstrip("# ")) for line in headings if line.startswith("#")}
        if not path.exists() or (part and part not in anchors):
            broken.append(target)
    assert not broken


@each_page
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    dotted = re.findall(rf"(?<![\w/.-])(?:{PACKAGES})(?:\.[a-z_]\w*)+", page.read_text())
    assert not [name for name in dotted if not name.endswith((".py", ".md")) and not names_module(name)]


@pytest.mark.parametrize("page", [*PAGES, *COMMENTED], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    calls = list(calls_of(page.read_text()))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    wrong = [problem for words in calls if (problem := wrong_in_call(words))]
    wrong += [
        f"make {w}" for words in calls if words[:1] == ["make"] for w in words[1:] if w not in targets
    ]
    assert not wrong


@each_page
def test_every_table_of_a_paper_that_a_page_names_exists(page: Path) -> None:
    unknown = []
    for words in calls_of(page.read_text()):
        for kind in ("table", "figure"):
            if words[:3] == ["python", "-m", "papers"] and f"--{kind}" in words:
                name = words[words.index(f"--{kind}") + 1]
                paper = importlib.import_module(f"papers.{words[3].replace('-', '_')}")
                known = (*paper.TABLES, *getattr(paper, "FIGURES", ()))
                unknown += [] if {name, f"{kind}{name}"} & set(known) else [" ".join(words)]
    assert not unknown


@each_page
def test_every_option_of_a_benchmark_that_a_page_names_exists(page: Path) -> None:
    unknown = []
    for words in calls_of(page.read_text()):
        if words[:2] == ["python", "-m"] and words[2:3] and words[2].startswith("bench."):
            source = ROOT.joinpath(*words[2].split(".")).with_suffix(".py").read_text()
            unknown += [
                f"{words[2]} {w}" for w in words if w.startswith("--") and f'"{w}"' not in source
            ]
    assert not unknown


@each_page
def test_every_parameter_that_a_page_names_exists(page: Path) -> None:
    sections = "|".join(sorted({info.alias or name for name, info in Params.model_fields.items()}))
    keys = re.findall(rf"`((?:{sections})(?:\.[a-z_]\w*)+)(?=[`:])", page.read_text())
    assert not [
        key for key in keys if not key.endswith(".py") and key not in OLD_KEYS and not is_parameter(key)
    ]
