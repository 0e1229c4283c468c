"""`shoal`: composes the commands and is the one place where errors become exit codes.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cloud_sync.cli import (
    config,
    deploy,
    device,
    fleet,
    group,
    label,
    model,
    module,
    records,
    rollout,
)
from cloud_sync.cli.demo import demo
from cloud_sync.cli.failure import FAILED, INTERRUPTED, fail, silence_output
from cloud_sync.cli.session import DEFAULT_SERVER, Session, login_name
from edge_agent.contract.failure import wants_json

app = typer.Typer(
    name="shoal",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(module.app, name="module")
app.add_typer(model.app, name="model")
app.add_typer(device.app, name="device")
app.add_typer(fleet.app, name="fleet")
app.add_typer(group.app, name="group")
app.add_typer(config.app, name="config")
app.add_typer(rollout.app, name="rollout")
app.command("deploy")(deploy.deploy)
app.command("remove")(deploy.remove)
app.command("events")(records.events)
app.command("results")(records.results)
app.add_typer(label.app, name="label")
app.command("audit")(records.audit)
app.command("info")(records.info)
app.command("demo")(demo)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import version

    typer.echo(f"shoal {version('shoal')}")
    raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    server: Annotated[
        str,
        typer.Option("--server", "-s", envvar="SHOAL_SERVER", help="Address of cloud-sync."),
    ] = DEFAULT_SERVER,
    actor: Annotated[
        str,
        typer.Option(
            "--actor",
            envvar="SHOAL_ACTOR",
            show_default="the login name",
            help="Who you are, for the audit log.",
        ),
    ] = "",
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            envvar="SHOAL_TIMEOUT",
            min=0.1,
            metavar="SECONDS",
            help="Longest time for the service to answer.",
        ),
    ] = 30.0,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Build, publish and deploy machine-learning modules to a fleet, and watch them run.

    \b
    Example:
      shoal module init wine --model wine.onnx
      shoal module publish wine
      shoal deploy wine --to all --wait 60
      shoal fleet status --watch
    """
    context.obj = Session(server, actor or login_name(), timeout)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `shoal` and exit.

    Args:
        arguments: behind the program's name; None for the process's own.

    Raises:
        SystemExit: always.
    """
    try:
        try:
            status = app(arguments, prog_name="shoal", standalone_mode=False)
        finally:
            # A broken pipe must show here, where it can be kept quiet, and not at exit.
            sys.stdout.flush()
    except BrokenPipeError:
        silence_output()
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - whatever it is, a person must not get a traceback
        given = sys.argv[1:] if arguments is None else arguments
        fail(error, as_json=wants_json(given))
    # What a command returns is nothing; what it ends with by `typer.Exit` is a number.
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
