"""How a command ends: an error that a user can mend is one line and an exit code, never a traceback."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import NoReturn

from typer import Exit

from hetsim.core.errors import HetsimError

_INTERRUPTED = 130


def run_to_exit(app: Callable[[], object], *, command: str) -> None:
    """Run a command line application.

    Args:
        app: The application; reads ``sys.argv``.
        command: How it was called, without its arguments: begins each message.

    Raises:
        SystemExit: With 2 after a mistake of the user's or a file that cannot be used, with 1 if no outputs are right,
            with 130 after Ctrl-C, and with whatever the application exits with itself.
    """
    try:
        app()
    except HetsimError as error:
        _exit(error.exit_code, f"{command}: {error}")
    except KeyboardInterrupt:
        _exit_interrupted(command)
    except SystemExit as leaving:
        if leaving.code == _INTERRUPTED and isinstance(leaving.__context__, Exit):  # typer's answer to Ctrl-C
            _exit_interrupted(command)
        raise
    except OSError as error:
        if error.filename is None:
            raise
        _exit(2, f"{command}: {error.filename}: {error.strerror}")


def _exit_interrupted(command: str) -> NoReturn:
    again = f"{command} {shlex.join(sys.argv[1:])}"
    _exit(_INTERRUPTED, f"{command}: interrupted; what was measured is saved. To go on: {again}")


def _exit(status: int, description: str) -> NoReturn:
    from rich.console import Console

    Console(stderr=True, soft_wrap=True).print(description, markup=False, highlight=False)
    raise SystemExit(status) from None
