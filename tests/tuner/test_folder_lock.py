"""Two commands do not fill one folder at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.several_requests import LoadLine
from experiments.shared.records import Record
from hetsim.core.errors import HetsimError
from hetsim.io.folder_lock import lock_folder
from hetsim.tuner.pipeline import tune
from tests.support.models import fake_platform, fork_join

_HOLDER = """
import sys; from pathlib import Path; from hetsim.io.folder_lock import lock_folder
lock = lock_folder(Path(sys.argv[1])); print("locked", flush=True); sys.stdin.read()
"""


def test_two_runs_do_not_fill_one_folder(tmp_path: Path) -> None:
    message = "is being filled by another process"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(HetsimError, match=message):
            tune(fork_join(), fake_platform(), tmp_path)
        with pytest.raises(HetsimError, match=message):
            Record(tmp_path / "rows.csv", LoadLine, settings={}, command="")
        other.kill()
    assert list(tmp_path.iterdir()) == []
    lock = lock_folder(tmp_path)
    assert lock_folder(tmp_path) is lock  # a command may write two records into its folder
