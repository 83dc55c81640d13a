"""Pages for contributors: the map names files that exist, and the site shows every page."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def test_every_row_of_the_map_names_files_that_exist() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = page.partition("| to add | touch |")[2].partition("\n\n")[0]
    rows = table.strip().splitlines()[1:]
    assert len(rows) >= 12
    for row in rows:
        paths = re.findall(r"`([\w.+-]+/[\w/.+-]*)`", row)
        assert paths, f"no file is named in: {row}"
        assert [path for path in paths if not (ROOT / path).exists()] == []


def test_make_targets_that_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md", ".github/pull_request_template.md", ".pre-commit-config.yaml"):
        named = re.findall(r"(?:`|entry: |\()make ([a-z-]+)", (ROOT / page).read_text("utf-8"))
        assert set(named) <= targets, page


def test_the_navigation_of_the_site_is_complete() -> None:
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    named = set(re.findall(r": ([\w/-]+\.md)$", site, re.MULTILINE))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert named - pages == set()
    assert {page for page in pages - named if not page.startswith("decisions/")} == set()


def test_every_package_has_a_page_of_the_reference() -> None:
    packages = {path.parent.name for path in (ROOT / "hetsim").glob("*/__init__.py")}
    assert {path.stem for path in REFERENCE.glob("*.md")} == packages | {"hetsim"}
    for path in REFERENCE.glob("*.md"):
        package = "hetsim" if path.stem == "hetsim" else f"hetsim.{path.stem}"
        assert f"::: {package}\n" in path.read_text("utf-8")


def test_the_citation_has_the_version_and_licence_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"version: {project['version']}\n" in citation
    assert f"license: {project['license']}\n" in citation
