"""The documentation is true: examples run, names and keys exist, the table of figures is one."""

import ast
import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import purepipe
from purepipe.config import DetectConfig, MaskConfig, PSFConfig, SurveyConfig
from purepipe.legacy.astromatic_keys import DEFAULTS
from purepipe.legacy.originals import original_fields, original_keys

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def run_examples(test):
    lines = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=lines.append)
    assert result.failed == 0, "".join(lines)


def with_examples():
    names = [purepipe.__name__]
    names += [m.name for m in pkgutil.walk_packages(purepipe.__path__, "purepipe.")]
    for name in names:
        source = importlib.util.find_spec(name).origin
        if name != "purepipe.__main__" and ">>>" in Path(source).read_text():
            yield name


@pytest.mark.parametrize("name", list(with_examples()))
def test_the_examples_of_docstrings_run(name):
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder().find(module):
        run_examples(test)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_pages_run(page):
    names = {"np": np, "pp": purepipe}
    for block in re.findall(r"```\{doctest\}\n(.*?)```", page.read_text(), re.DOTALL):
        run_examples(doctest.DocTestParser().get_doctest(block, names, page.name, str(page), 0))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_pages_compiles_and_names_what_there_is(page):
    for block in BLOCK.findall(page.read_text()):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("purepipe"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), block
    for name in re.findall(r"\bpp((?:\.\w+)+)", page.read_text()):
        place = purepipe
        for word in name[1:].split("."):
            place = getattr(place, word, None) or importlib.import_module(f"purepipe.{word}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_pages_name_exist(page):
    text = page.read_text()
    for name in re.findall(r"`((?:benchmarks|examples|tests|docs)/[\w/.\-]+)", text):
        assert (ROOT / name.rstrip(".")).exists(), name
    for name in re.findall(r"\b(bench_\w+\.py)", text):
        assert (ROOT / "benchmarks" / name).exists(), name


@pytest.mark.parametrize(
    ("title", "program", "config"),
    [("SExtractor", "sex", DetectConfig), ("PSFEx", "psfex", PSFConfig),
     ("WeightWatcher and ShapePipe's masks", "ww", MaskConfig)],
)  # fmt: skip
def test_the_keys_of_the_migration_page_exist(title, program, config):
    section = (
        (ROOT / "docs" / "migration.md").read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    )
    known = {".".join(path) for path, _, _ in original_fields(config)}
    known |= set(config.__dataclass_fields__)
    keywords = {*DEFAULTS[program], *original_keys(MaskConfig, "mask")}
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    for before, now in rows:
        used = re.findall(r"`([A-Z][A-Z_]+)", before)
        assert set(used) <= keywords, before
        names = re.findall(r"`([a-z_.]+) = ", now) + re.findall(r"`([a-z_]+\.[a-z_]+)`", now)
        assert set(names) - {"found.segmentation"} <= known, now


def test_the_tables_of_the_survey_file_exist():
    for page in PAGES:
        for table in re.findall(r"`\[(ccd|tile|shear|run|inputs)((?:\.\w+)*)\]`", page.read_text()):
            place = SurveyConfig()
            for name in (table[0] + table[1]).split("."):
                place = getattr(place, name)


def test_the_table_of_figures_is_well_formed():
    readme = (ROOT / "README.md").read_text()
    assert readme.count(BEGIN) == readme.count(END) == 1
    part = readme.split(BEGIN)[1].split(END)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert len(lines) > 5
    assert len(widths) == 1
    assert part.strip() in (ROOT / "benchmarks" / "results.md").read_text()
    assert "Versions: purepipe" in part
