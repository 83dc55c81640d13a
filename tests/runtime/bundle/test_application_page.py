"""The C++ application of docs/application.md: it builds in an empty folder, and runs a bundle."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.bundles import change_manifest, tiny_bundle

PAGE = Path(__file__).parents[3] / "docs" / "application.md"


def block(language: str) -> str:
    """The page's only example in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake") is None or shutil.which("g++") is None, reason="needs cmake and g++")
def test_the_application_builds_and_says_what_it_does(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(block("cmake"))
    (tmp_path / "main.cpp").write_text(block("cpp"))
    for command in (["cmake", "-S", ".", "-B", "build"], ["cmake", "--build", "build", "--parallel", "2"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in done.stderr
    assert not (tmp_path / "build" / "hetsim_bundle" / "run_bundle").exists()

    def run(folder: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(tmp_path / "build" / "app"), folder], cwd=tmp_path, capture_output=True, text=True)

    done = run("bundle")  # the make-believe engine computes something else than the reference engine
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(r"example: error .*\n(request \d: class \d+, [\d.]+ ms\n){3}", done.stdout)
    done = run("nowhere")
    assert (done.returncode, done.stderr) == (2, "app: cannot read nowhere/manifest.json (status 2)\n")
    change_manifest(bundle, "version", 2)
    done = run("bundle")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the bundle has version 2, this runner takes version 1" in done.stderr
