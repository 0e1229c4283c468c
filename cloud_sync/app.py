"""`cloud-sync`: the command line of the service, and the loop that it runs in."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
import uvicorn
from msgspec.structs import replace

from cloud_sync import systemd
from cloud_sync.api.site import build
from cloud_sync.config import FILE_NAME, TEMPLATE, Settings, load
from cloud_sync.errors import Conflict, ShoalError, StorageError
from cloud_sync.listener import check_reach, listen, url_of
from cloud_sync.service import VERSION, Service, open_database
from edge_agent.contract.failure import UsageError, failure_text, is_help, usage_failure

GRACE_S: Final = 2
KEEP_ALIVE_S: Final = 30
ROUND_S: Final = 1.0
READY_FILE: Final = "service.json"

cli = typer.Typer(
    name="cloud-sync",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    pretty_exceptions_enable=False,
)
logger = logging.getLogger(__name__)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help=f"Settings file. Default: ./{FILE_NAME} if it is there."),
]


@cli.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """The service of Shoal: registry, fleet and telemetry.

    \b
    Example:
      cloud-sync serve --port 0
    """
    if version:
        typer.echo(f"cloud-sync {VERSION}")
        raise typer.Exit


@cli.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made if missing.")] = Path(),
) -> None:
    """Write a commented settings file and make the database.

    \b
    Example:
      cloud-sync init /srv/shoal && cloud-sync serve --config /srv/shoal/cloud-sync.toml
    """
    with _errors_for_people():
        file = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with file.open("x") as opened:
                opened.write(TEMPLATE.format(data_dir="data"))
        except FileExistsError as error:
            raise Conflict(
                f"{file} is already there", hint="edit it, or choose another folder"
            ) from error
        except OSError as error:
            raise StorageError(
                f"cannot write {file}: {error.strerror}",
                hint="check the folder's permissions and the room on its disk",
            ) from error
        settings = load(file, os.environ)
        data_dir = Path(settings.service.data_dir)
        data_dir.mkdir(parents=True, exist_ok=True)
        open_database(settings, data_dir).close()
    typer.echo(f"settings: {file}")
    typer.echo(f"data:     {data_dir}")
    typer.echo(f"next:     cloud-sync serve --config {file}")


@cli.command()
def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address of the API.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the API; 0 chooses one.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Database, blobs, broker's store.")] = None,
    broker: Annotated[
        str | None, typer.Option(metavar="URL", help="mqtt://HOST:PORT instead of the embedded.")
    ] = None,
    broker_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the embedded broker; 0 chooses one."),
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen on addresses that are not loopback.")
    ] = False,
) -> None:
    """Run the service until it is told to stop (Ctrl-C or SIGTERM).

    \b
    Example:
      cloud-sync serve --port 8080 --data-dir ./data
    """
    with _errors_for_people():
        _log_to_stderr()
        found = config or (Path(FILE_NAME) if Path(FILE_NAME).exists() else None)
        settings = load(found, os.environ)
        settings = _with_options(settings, host, port, data_dir, broker, broker_port, allow_remote)
        warning = check_reach(settings)
        if warning:
            typer.echo(f"warning: {warning}", err=True)
        listener = listen(settings.http.host, settings.http.port)
        with listener:
            service = Service(settings)
            try:
                service.start()
                asyncio.run(_run(service, listener))
            finally:
                systemd.notify(systemd.STOPPING, os.environ)
                service.stop()
                (service.data_dir / READY_FILE).unlink(missing_ok=True)


def main() -> None:
    """Entry point of `cloud-sync`: wrong usage is said as by the other two programs."""
    try:
        status = cli(prog_name="cloud-sync", standalone_mode=False)
    except typer.Abort:  # Ctrl-C before the service runs
        sys.exit(1)
    except Exception as error:
        if not isinstance(error, UsageError):
            raise
        told = error.format_message()
        if not is_help(error):
            told = failure_text(usage_failure(error), as_json=False)
        sys.stderr.write(f"{told}\n")
        sys.exit(2)
    # What a command returns is nothing; what it ends with by `typer.Exit` is a number.
    sys.exit(status if isinstance(status, int) else 0)


class _Server(uvicorn.Server):
    """uvicorn would raise the signal again when it is done, and so end us before we cleaned up."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        # A second signal does not wait for slow clients.
        self.force_exit = self.should_exit
        self.should_exit = True


async def _run(service: Service, listener: socket.socket) -> None:
    server = _Server(
        uvicorn.Config(
            build(service.parts(), VERSION),
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    task = asyncio.create_task(server.serve([listener]))
    while not server.started and not task.done():
        await asyncio.wait({task}, timeout=0.01)
    if not task.done():
        _announce(service, url_of(listener))
    while not task.done():
        await asyncio.wait({task}, timeout=ROUND_S)
        if not server.should_exit:
            await asyncio.to_thread(service.revive_broker)
            if service.is_progressing():
                systemd.notify(systemd.ALIVE, os.environ)
    await task


def _announce(service: Service, url: str) -> None:
    """Say, to people, to tools and to systemd, that the service can be used."""
    kind = "embedded" if service.has_embedded_broker else "external"
    typer.echo(f"api:    {url}")
    typer.echo(f"broker: {service.broker_url} ({kind})")
    typer.echo(f"data:   {service.data_dir}")
    typer.echo(f"docs:   {url}/v1/openapi.json")
    sys.stdout.flush()
    ready = {"url": url, "broker_url": service.broker_url, "pid": os.getpid()}
    temporary = service.data_dir / f".{READY_FILE}"
    temporary.write_text(json.dumps(ready) + "\n")
    temporary.replace(service.data_dir / READY_FILE)
    systemd.notify(systemd.READY, os.environ)
    logger.info("event=service_ready url=%s broker=%s", url, service.broker_url)


def _with_options(
    settings: Settings,
    host: str | None,
    port: int | None,
    data_dir: Path | None,
    broker: str | None,
    broker_port: int | None,
    allow_remote: bool,  # an option, passed through by position as all of them
) -> Settings:
    """Options of the command line win over the file and the environment."""
    http = settings.http
    if host is not None:
        http = replace(http, host=host)
    if port is not None:
        http = replace(http, port=port)
    if allow_remote:
        http = replace(http, allow_remote=True)
    mqtt = settings.broker
    if broker is not None:
        mqtt = replace(mqtt, url=broker)
    if broker_port is not None:
        mqtt = replace(mqtt, port=broker_port)
    where = settings.service
    if data_dir is not None:
        where = replace(where, data_dir=str(data_dir.absolute()))
    return replace(settings, http=http, broker=mqtt, service=where)


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # These tell every step of theirs at the level at which we tell what matters.
    for name in ("alembic", "apscheduler", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextlib.contextmanager
def _errors_for_people() -> Iterator[None]:
    try:
        yield
    except ShoalError as error:
        typer.echo(f"error: {error.text}", err=True)
        if error.hint:
            typer.echo(f"what to do: {error.hint}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    main()
