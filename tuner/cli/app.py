"""The ``hetsim`` command."""

from __future__ import annotations

from typing import Annotated

import typer

from hetsim.tuner.cli.commands.compare import compare
from hetsim.tuner.cli.commands.convert import convert
from hetsim.tuner.cli.commands.explain import explain
from hetsim.tuner.cli.commands.export import export
from hetsim.tuner.cli.commands.plan import plan
from hetsim.tuner.cli.commands.platform import calibrate, platform, zoo
from hetsim.tuner.cli.commands.profile import import_profile, profile
from hetsim.tuner.cli.commands.run import run
from hetsim.tuner.cli.commands.simulate import simulate
from hetsim.tuner.cli.commands.tune import tune
from hetsim.tuner.cli.commands.verify import verify
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.cli.serving.scenario import scenario

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Plan one inference over a CPU and NPUs working together: measure, search, simulate, execute, compare.",
)
platform_app = typer.Typer(no_args_is_help=False, help="What is here, and how it performs.")
app.add_typer(platform_app, name="platform")


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hetsim {version('hetsim')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Options that need no command."""


for command in (
    tune,
    profile,
    import_profile,
    plan,
    simulate,
    explain,
    convert,
    run,
    compare,
    verify,
    export,
    scenario,
    zoo,
):
    app.command()(command)
platform_app.callback(invoke_without_command=True)(platform)
platform_app.command()(calibrate)


def main() -> None:
    """Run the command; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command="hetsim")
