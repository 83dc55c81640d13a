"""The package as people install it: one name at the top, plain files inside, and commands that work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("hetsim", "runtime", "scheduler", "tuner", "pyproject.toml", "README.md", "LICENSE")
IGNORED = shutil.ignore_patterns("__pycache__", "*.py[cod]", "*.nb[ic]", "*.egg-info", ".*_cache")

PROBLEM = {
    "devices": ["cpu", "npu"],
    "ops": {"a": {"cpu": 1.0}, "b": {"cpu": 3.0, "npu": 1.0}, "c": {"cpu": 1.0}},
    "edges": [["a", "b", 1000], ["b", "c", 1000]],
}

CALIBRATED = """
import sys
from dataclasses import replace
from pathlib import Path
from hetsim.core.platform import Calibration
from hetsim.io.platform_file import format_platform, load_platform
platform = load_platform("cpu+npu")
calibration = Calibration(date="2025-01-01T00:00:00+00:00", machine="stated, not measured", num_samples=1)
Path("calibrated.toml").write_text(format_platform(replace(platform, calibration=calibration)))
"""


def done(*args: str | Path, cwd: Path, **variables: str) -> str:
    """What a command prints; it must succeed, and finds nothing of the checkout on its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    made = subprocess.run(
        list(map(str, args)),
        cwd=cwd,
        env={**environment, "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


def built(hook: str, source: Path, out: Path) -> Path:
    """What setuptools builds of a source tree, with the environment's own setuptools."""
    out.mkdir()
    words = f"import sys; from setuptools import build_meta; build_meta.{hook}(sys.argv[1])"
    done(sys.executable, "-c", words, out, cwd=source)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the package is built from, as building leaves files behind; links stay links."""
    folder = tmp_path_factory.mktemp("package") / "checkout"
    folder.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=IGNORED)
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def sdist(source: Path) -> Path:
    return built("build_sdist", source, source.parent / "sdist")


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """The wheel, built from the source distribution, as it must do without the checkout."""
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent.parent / "unpacked", filter="data")
    (unpacked,) = (sdist.parent.parent / "unpacked").iterdir()
    return built("build_wheel", unpacked, sdist.parent.parent / "wheel")


@pytest.fixture(scope="module")
def commands(wheel: Path) -> Path:
    """The folder of commands of an empty environment with the wheel, which sees the dependencies of this one."""
    environment = wheel.parent.parent / "environment"
    done(sys.executable, "-m", "venv", "--without-pip", environment, cwd=wheel.parent)
    folder = environment / ("Scripts" if os.name == "nt" else "bin")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", folder / "python")
    done(*pip, "install", "--no-deps", "--no-index", "--quiet", wheel, cwd=wheel.parent)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(done(folder / "python", "-c", where, cwd=wheel.parent).strip())
    assert sorted(path.name for path in packages.iterdir()) == ["hetsim", wheel.name.split("-py3")[0] + ".dist-info"]
    # A folder named in a .pth file has its own .pth files ignored, so an editable hetsim is not seen there.
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "dependencies.pth").write_text("\n".join(others))
    return folder


def expected_files() -> set[str]:
    """Modules and data of the checkout, as they are called inside the package; what Python and numba cached aside."""
    found = set()
    for folder, _, names in os.walk(ROOT / "hetsim", followlinks=True):
        if Path(folder).name != "__pycache__":
            found |= {(Path(folder) / name).relative_to(ROOT).as_posix() for name in names}
    return found


def test_the_wheel_holds_every_module_as_a_plain_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {info.filename for info in archive.infolist() if not info.is_dir()}
        assert all(info.external_attr >> 28 != 0o12 for info in archive.infolist()), "a link"
    assert {name.partition("/")[0] for name in names} == {"hetsim", wheel.name.split("-py3")[0] + ".dist-info"}
    assert {name for name in names if name.startswith("hetsim/")} == expected_files()
    assert {"hetsim/py.typed", "hetsim/io/platforms/cpu+npu.toml", "hetsim/scheduler/registry.py"} <= names


def test_the_source_distribution_holds_what_a_wheel_is_built_from(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
        assert not any(member.issym() or member.islnk() for member in archive)
    assert expected_files() | {"pyproject.toml", "README.md", "LICENSE"} <= names


def test_the_installed_command_plans_simulates_and_draws_a_table_problem(commands: Path, tmp_path: Path) -> None:
    hetsim = commands / "hetsim"
    assert "Usage: hetsim" in done(hetsim, "--help", cwd=tmp_path)
    place = done(commands / "python", "-c", "import hetsim; print(hetsim.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(commands.parent)
    assert done(hetsim, "--version", cwd=tmp_path).split() == ["hetsim", _version()]
    (tmp_path / "problem.json").write_text(json.dumps(PROBLEM))
    # a 1, b on the npu 1, c 1; nothing is said about links, so a hand-over takes no time.
    assert "3000.00 ms simulated" in done(
        *(hetsim, "plan", "--problem", "problem.json", "--scheduler", "search", "--out", "plan.json"), cwd=tmp_path
    )
    simulated = done(
        *(hetsim, "simulate", "--problem", "problem.json", "--plan", "plan.json", "--json"),
        *("--trace", "trace.json", "--picture", "timeline.png"),
        cwd=tmp_path,
    )
    assert json.loads(simulated)["makespan_s"] == 3.0
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert (tmp_path / "timeline.png").stat().st_size > 1000


@pytest.mark.engines
@pytest.mark.slow
def test_the_installed_command_tunes_squeezenet(commands: Path, tmp_path: Path) -> None:
    done(commands / "python", "-c", CALIBRATED, cwd=tmp_path)
    few = ("--rounds", "1", "--max-evaluations", "5", "--runs", "3", "--repeats", "3", "--explorations", "0")
    told = done(
        *(
            commands / "hetsim",
            "tune",
            "squeezenet",
            "--platform",
            "calibrated.toml",
            "--out",
            "out",
            "--no-splits",
            *few,
        ),
        cwd=tmp_path,
        NUMBA_DISABLE_JIT="1",  # compiling for a new place takes a minute; other tests run the compiled kernels
    )
    assert "Outputs match the reference engine" in told
    assert {"plan.json", "report.html", "summary.json"} <= {path.name for path in (tmp_path / "out").iterdir()}


def _version() -> str:
    (line,) = (line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version = "))
    return line.split('"')[1]
