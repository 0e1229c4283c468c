"""`edge-agent`: the device's command line. Asks, shows, and starts the agent; decides nothing.

Errors are two lines on standard error, `error:` and `what to do:`, or with `--json` one line of
JSON there. Exit status: 0 done, 1 refused or failed, 2 wrong usage.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from edge_agent.config import Settings, find_config, in_memory, load, parse
from edge_agent.contract.failure import (
    UsageError,
    failure_of,
    failure_text,
    is_help,
    usage_failure,
    wants_json,
)
from edge_agent.contract.names import check_name
from edge_agent.errors import ConfigError, NotFound, ShoalError, Unavailable

if TYPE_CHECKING:
    from edge_agent.daemon.explain import DeviceExplanation
    from edge_agent.daemon.status import AgentStatus

app: Final = typer.Typer(
    name="edge-agent",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

MAX_PAYLOAD_BYTES: Final = 64 * 2**20

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Settings file.",
        show_default="$EDGE_AGENT_CONFIG, agent.toml, /etc/shoal/agent.toml",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

LockedSlot = Annotated[
    str | None, typer.Argument(help="The slot's name.", show_default="all slots")
]

TEMPLATE: Final = """\
[agent]
device = "{device}"            # no two devices of one cloud may share it
state_dir = "{state_dir}"

[cloud]
url = "{url}"
broker = "{broker}"
# ca_file, cert_file and key_file for TLS: https:// and mqtts://

[data]
broker = ""                    # empty: the cloud's, where topics live below data/{device}/

[health]
interval_s = 30

[http]
listen = ""                    # "127.0.0.1:8090" for requests over HTTP, and /metrics
"""


@app.callback()
def root() -> None:
    """Run machine-learning modules on this device, and look at how they do."""


@app.command()
def init(
    device: Annotated[str, typer.Option(help="This device's name: a-z, 0-9 and '-'.")],
    cloud: Annotated[str, typer.Option(help="The service's HTTP API.")] = "http://127.0.0.1:8080",
    broker: Annotated[str, typer.Option(help="The service's broker.")] = "mqtt://127.0.0.1:1883",
    state_dir: Annotated[str, typer.Option(help="Folder for the agent's files.")] = "shoal-state",
    config: Annotated[Path, typer.Option("--config", "-c", help="File to write.")] = Path(
        "agent.toml"
    ),
) -> None:
    """Write a settings file.

    Example: edge-agent init --device line-1 --cloud http://10.0.0.5:8080 --broker mqtt://10.0.0.5
    """
    from edge_agent.store.files import write_atomic

    check_name("device", device)
    if config.exists():
        raise ConfigError(
            f"{config} is there already",
            hint="edit it, or name another file with --config",
            code="config_exists",
        )
    text = TEMPLATE.format(device=device, state_dir=state_dir, url=cloud, broker=broker)
    parse(text, {}, source=str(config), folder=config.parent)  # no wrong file is left behind
    write_atomic(config, text.encode(), mode=0o644)
    typer.echo(f"wrote {config}; start the agent with: edge-agent run --config {config}")


@app.command()
def run(config: ConfigOption = None) -> None:
    """Run the agent, until it is stopped. Under systemd it says when it is ready.

    Example: edge-agent run --config agent.toml
    """
    path = config or find_config(os.environ)
    load(path, os.environ)  # a wrong file is told here, before anything is started
    sys.stdout.flush()
    # Replace this process: the agent runs for months, and has no use for the command line's
    # libraries. Two arenas: its threads are few, and each arena keeps what it once had.
    environment = {"MALLOC_ARENA_MAX": "2", **os.environ}
    arguments = [sys.executable, "-P", "-m", "edge_agent.daemon", str(path)]
    os.execve(sys.executable, arguments, environment)  # noqa: S606  # no shell is wanted


@app.command()
def status(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show what the running agent does: slots, versions, counters, the way to the cloud.

    For each slot: messages in, out, failed and dropped; how long they took at each stage; rows of
    a run; memory; and in sentences what it runs on, why messages failed or were dropped, how often
    its process ended and why, and how a shadow compares. --json has all figures.

    Example: edge-agent status
    """
    from edge_agent.daemon.status_text import status_lines

    found = _status(_settings(config))
    if json:
        _print_json(found)
        return
    for line in status_lines(found):
        typer.echo(line)


@app.command()
def explain(
    slot: Annotated[str, typer.Argument(help="The slot's name; a module's, unless it was given.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say why a slot is where it is, what happens next, and what you can do.

    Wanted, running, phase, the step that failed last with its stable code, attempts, the next one.
    Without an agent that answers it is read from the disk, and says which: none runs, or it hangs.

    Example: edge-agent explain shuttle-anomaly
    """
    from edge_agent.daemon.explain import explanation_lines

    told = _explanation(slot, _settings(config))
    if json:
        _print_json(told)
        return
    for line in explanation_lines(told):
        typer.echo(line)


@app.command()
def check(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Check that this device is ready: disk, clock, models, certificates, network, HTTP, agent.

    Beside the running agent as well as without it; nothing is changed. Exits with 1 if something
    fails; what only warns can come later. What each check means: docs/guides/support.md.

    Example: edge-agent check --config agent.toml
    """
    from edge_agent.daemon.check.finding import Finding, finding_lines
    from edge_agent.daemon.checkup import check_up

    findings: list[Finding] = []
    for finding in check_up(load(config or find_config(os.environ), os.environ)):
        findings.append(finding)
        for line in () if json else finding_lines(finding):
            typer.echo(line)
    if json:
        _print_json(findings)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


@app.command()
def bundle(
    out: Annotated[
        str,
        typer.Option(
            help="File to write; '-' for standard output.",
            show_default="shoal-bundle-DEVICE-TIME.tar.gz",
        ),
    ] = "",
    log: Annotated[
        Path | None, typer.Option(help="Log file of the agent, where it has one.")
    ] = None,
    unit: Annotated[
        str, typer.Option(help="Its unit of systemd, whose log is taken otherwise.")
    ] = "edge-agent",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write what a person needs to help with this device into one file, without secrets.

    Settings, status, checks, explanations, journal, what waits for the cloud (no data of yours),
    files by name and size, versions, the machine, the end of the log: at most 5 MB, readable by you
    alone. Works beside the agent, without it, and with a damaged journal; what could not be had is
    named. Look through it before you send it.

    Example: edge-agent bundle --out /tmp/line-1.tar.gz
    """
    from edge_agent.daemon.bundle.collect import Collection
    from edge_agent.daemon.bundle.saving import bundle_lines, bundle_name, pour, save

    settings = _settings(config)
    collection = Collection(settings, os.environ)
    collection.collect(unit=unit, log_file=log)
    data, manifest = collection.pack()
    place = out or bundle_name(manifest)
    if place == "-":
        pour(sys.stdout.fileno(), data)
    else:
        save(Path(place), data)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(manifest)).decode(), err=place == "-")
        return
    for line in bundle_lines(manifest, place, len(data)):
        typer.echo(line, err=place == "-")


@app.command()
def lock(
    slot: LockedSlot = None,
    for_s: Annotated[
        float,
        typer.Option("--for", min=1, metavar="SECONDS", help="How long; lock again to renew."),
    ] = 600.0,
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say "not now" to updates of a slot, or of all: what runs goes on, a new version waits.

    For programs on this device, whose work an update must not disturb. When it returns with 0, no
    version is switched until the lock ends. [lock] max_s bounds it; a cloud may allow less.

    Example: edge-agent lock shuttle-anomaly --for 300 --reason "a cut is being made"
    """
    from edge_agent.daemon.lock_client import lock as take
    from edge_agent.daemon.lock_client import lock_line

    held = take(Path(_settings(config).agent.state_dir), slot, for_s, reason)
    _print_json(held) if json else typer.echo(lock_line(held))


@app.command()
def unlock(slot: LockedSlot = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Let updates of a slot go on, or of all: what waited begins at once.

    Without a slot every lock ends: that of all slots, and those of single ones.

    Example: edge-agent unlock shuttle-anomaly
    """
    from edge_agent.daemon.lock_client import unlock as release
    from edge_agent.daemon.lock_client import unlock_line

    left = release(Path(_settings(config).agent.state_dir), slot)
    _print_json(left) if json else typer.echo(unlock_line(left))


@app.command()
def infer(
    module: Annotated[
        str,
        typer.Argument(help="An installed slot, a module's folder that was built, or a manifest."),
    ],
    file: Annotated[Path, typer.Argument(help="The payload; '-' for standard input.")],
    topic: Annotated[
        str, typer.Option(help="Topic it pretends to come from.", show_default="one that fits")
    ] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Run one payload through a module and print what would be published. No broker is used.

    A module's folder must have been built: shoal module build FOLDER. Exits with 1 if the module
    answers with an error.

    Example: edge-agent infer shuttle-anomaly row.json
    """
    from edge_agent.daemon.modules import request_for
    from edge_agent.runtime.infer import infer as run_infer

    request, note = request_for(module, _payload(file), lambda: _settings(config))
    if note:
        typer.echo(msgspec.json.encode({"warning": note}) if json else f"warning: {note}", err=True)
    answer = run_infer(msgspec.structs.replace(request, topic=topic))
    if json:
        _print_json(answer)
    elif not answer.topic:
        typer.echo("nothing is published: the module waits for more rows to fill its window")
    else:
        typer.echo(f"on {answer.topic}:")
        typer.echo(msgspec.json.format(bytes(answer.result)).decode())
    if not answer.is_answered and answer.topic:
        raise typer.Exit(1)


def main() -> None:
    """Entry of the program: the one place where errors become exit statuses."""
    as_json = wants_json(sys.argv[1:])
    try:
        status = app(prog_name="edge-agent", standalone_mode=False)
    except ShoalError as error:
        sys.stderr.write(failure_text(failure_of(error), as_json=as_json) + "\n")
        sys.exit(1)
    except Exception as error:
        if not isinstance(error, UsageError):
            raise
        if is_help(error):
            sys.stderr.write(f"{error.format_message()}\n")
        else:
            sys.stderr.write(failure_text(usage_failure(error), as_json=as_json) + "\n")
        sys.exit(2)
    # What a command returns is nothing; what it ends with by `typer.Exit` is a number.
    sys.exit(status if isinstance(status, int) else 0)


def _settings(config: Path | None) -> Settings:
    """Of the device, with the folder in which its agent works now."""
    from edge_agent.daemon.refuge import current_folder

    settings = load(config or find_config(os.environ), os.environ)
    state_dir = Path(settings.agent.state_dir)
    folder = current_folder(state_dir)
    return settings if folder == state_dir else in_memory(settings, folder)


def _status(settings: Settings) -> "AgentStatus":
    from edge_agent.daemon.local import ask_status

    return ask_status(Path(settings.agent.state_dir))


def _explanation(slot: str, settings: Settings) -> "DeviceExplanation":
    """From the agent if one answers, else from its disk."""
    from edge_agent.daemon.explain import explain_left, explain_running
    from edge_agent.store.clock import SystemClock
    from edge_agent.store.remains import read_journal

    state_dir = Path(settings.agent.state_dir)
    try:
        return explain_running(slot, _status(settings))
    except Unavailable as unavailable:
        now = SystemClock(state_dir).wall()
        left = read_journal(state_dir)
        return explain_left(slot, settings.agent.device, left, unavailable, now)


def _payload(file: Path) -> bytes:
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_PAYLOAD_BYTES + 1)
        else:
            with file.open("rb") as source:
                data = source.read(MAX_PAYLOAD_BYTES + 1)
    except OSError as error:
        raise NotFound(
            f"payload {file} cannot be read: {error.strerror}",
            hint="name a file, or - for standard input",
        ) from error
    if len(data) > MAX_PAYLOAD_BYTES:
        raise ConfigError(
            f"payload {file} expected at most {MAX_PAYLOAD_BYTES} bytes, found more",
            hint="no module takes a message of this size",
        )
    return data


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


if __name__ == "__main__":
    main()
