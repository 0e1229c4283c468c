"""The device's settings: `agent.toml`, then `EDGE_AGENT_<SECTION>_<KEY>` of the environment.

Settings are read once, at the start, into frozen structs that are passed to what needs them.
Nothing else of the agent reads the file or the environment.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from edge_agent.contract.address import parse_address
from edge_agent.contract.environment import override
from edge_agent.contract.names import check_name
from edge_agent.contract.providers import check_provider, parse_options
from edge_agent.contract.toml import line_of, read_toml
from edge_agent.contract.toml_lines import key_lines
from edge_agent.contract.user_info import hide_user
from edge_agent.errors import ConfigError, ContractError

ENVIRONMENT_PREFIX: Final = "EDGE_AGENT"
CONFIG_VARIABLE: Final = "EDGE_AGENT_CONFIG"
DEFAULT_PATHS: Final = ("agent.toml", "/etc/shoal/agent.toml")
MAX_CONFIG_BYTES: Final = 2**20


class AgentSection(Struct, frozen=True, kw_only=True):
    """The agent itself.

    Attributes:
        device: this device's name: 1-63 characters of a-z, 0-9 and '-'. Required; no two devices
            of one cloud may share it.
        state_dir: folder for everything the agent keeps. Relative to the settings file.
        log_level: least severe kind of log line that is written.
    """

    device: str
    state_dir: Annotated[str, Meta(min_length=1)] = "/var/lib/shoal"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class CloudSection(Struct, frozen=True, kw_only=True):
    """The service that the device belongs to.

    Attributes:
        url: of its HTTP API, from which files are downloaded; without user and password.
        broker: MQTT broker for control messages: `mqtt://` or `mqtts://`, with
            `user:password@` where the broker asks for it.
        ca_file: certificates to trust for both, instead of the system's.
        cert_file: this device's certificate.
        key_file: its key.
        max_download_kb_s: most KiB a second that all downloads of the device take together; 0
            for no bound.
        stall_s: longest silence in the middle of a download before it is given up, to be continued.
        keepalive_s: longest silence before the broker is asked for a sign of life; without one
            for as long again, the connection is made anew.
    """

    url: str = "http://127.0.0.1:8080"
    broker: str = "mqtt://127.0.0.1:1883"
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    max_download_kb_s: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    stall_s: Annotated[float, Meta(ge=1, le=3600)] = 20.0
    keepalive_s: Annotated[int, Meta(ge=1, le=3600)] = 30


class DataSection(Struct, frozen=True, kw_only=True):
    """Where the sensors are.

    Attributes:
        broker: MQTT broker of the data topics. Empty for the cloud's, where this device's data
            topics then live below `data/{device}/`.
        ca_file: certificates to trust instead of the system's.
        cert_file: certificate to show.
        key_file: its key.
        protocol: version of MQTT to speak. `auto` is 5 where the broker speaks it, else 3.1.1.
    """

    broker: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    protocol: Literal["auto", "3.1.1", "5"] = "auto"


class HealthSection(Struct, frozen=True, kw_only=True):
    """What the device says about itself.

    Attributes:
        interval_s: seconds between two health reports, unless the cloud sets another.
    """

    interval_s: Annotated[float, Meta(ge=1, le=86_400)] = 30.0


LEAST_OUTBOX_MB: Final = 8


class OutboxSection(Struct, frozen=True, kw_only=True):
    """What waits on the device for the cloud.

    Attributes:
        max_mb: the most that it takes on the disk, MiB, with everything that belongs to it. Beyond
            it samples go first, then results, then alarms; what goes is counted.
        backlog_rows_per_s: rows a second of what gathered without a connection. What is new goes
            before it.
        flush_s: a power cut loses no results that are older than this; alarms, and what became of
            an order, are flushed at once. Longer spares an SD card.
    """

    max_mb: Annotated[int, Meta(ge=LEAST_OUTBOX_MB, le=65_536)] = 64
    backlog_rows_per_s: Annotated[float, Meta(ge=1, le=100_000)] = 200.0
    flush_s: Annotated[float, Meta(ge=0, le=300)] = 5.0


class DiskSection(Struct, frozen=True, kw_only=True):
    """What is kept free on the disk of `agent.state_dir`.

    The disk is low when less is free than both of the first two allow. Then nothing is downloaded
    and no samples are kept for the cloud; modules go on, and the cloud is told. It ends by itself.

    Attributes:
        low_percent: low is less than this share of the disk, percent.
        low_mb: low is less than this, MiB: of a large disk, 5 % would be needlessly much.
        ballast_mb: held back for the agent's own notes when somebody else has filled the disk, MiB;
            never more than 2 % of the disk. 0 for none.
    """

    low_percent: Annotated[float, Meta(ge=0, le=50)] = 5.0
    low_mb: Annotated[int, Meta(ge=0, le=1_048_576)] = 1024
    ballast_mb: Annotated[int, Meta(ge=0, le=1024)] = 4


class LockSection(Struct, frozen=True, kw_only=True):
    """What programs on the device may put off with `edge-agent lock`.

    Attributes:
        max_s: longest lock, and longest time that one update may be put off, however often a lock
            is renewed, seconds; 0 takes no locks. The cloud may allow less.
    """

    max_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 86_400.0


class ShadowSection(Struct, frozen=True, kw_only=True):
    """What shadows may cost: versions that get a slot's messages and are only compared.

    Attributes:
        cpu_share: of one core that each may use, 0.01 to 1. What does not fit in is left out, and
            counted.
    """

    cpu_share: Annotated[float, Meta(ge=0.01, le=1)] = 0.2


class HardwareSection(Struct, frozen=True, kw_only=True):
    """What models run on.

    Attributes:
        providers: execution providers of onnxruntime to prefer, in order, for modules that ask for
            none that works here: "cuda", "tensorrt", "openvino", "xnnpack" ..., or onnxruntime's
            own names. Empty for the CPU. In the environment: separated by commas.
        options: of providers, as PROVIDER.OPTION=VALUE, for example "openvino.device_type=GPU".
        max_threads: most threads of one run of a model; 0 for as many as the agent's processors
            (affinity and control group) allow. How many are worth it is measured.
    """

    providers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    max_threads: Annotated[int, Meta(ge=0, le=256)] = 0


class HttpSection(Struct, frozen=True, kw_only=True):
    """The local HTTP server: Open Inference Protocol, version 2, and metrics for Prometheus.

    Attributes:
        listen: "IP:PORT" to listen on, for example "127.0.0.1:8090". Empty for no server.
        allow_remote: whether `listen` may be an address that other machines reach. Whoever reaches
            it can use every model and read every figure.
        max_body_mb: longest body of a request, MiB. A module may set a lower bound for its own.
        max_connections: most clients at a time.
        timeout_s: longest time to send a request, to answer it, and to take the answer; each.
    """

    listen: str = ""
    allow_remote: bool = False
    max_body_mb: Annotated[int, Meta(ge=1, le=256)] = 16
    max_connections: Annotated[int, Meta(ge=1, le=4096)] = 64
    timeout_s: Annotated[float, Meta(ge=0.1, le=3600)] = 30.0


class Settings(Struct, frozen=True, kw_only=True):
    """All settings of a device."""

    agent: AgentSection
    cloud: CloudSection = CloudSection()
    data: DataSection = DataSection()
    health: HealthSection = HealthSection()
    outbox: OutboxSection = OutboxSection()
    hardware: HardwareSection = HardwareSection()
    shadow: ShadowSection = ShadowSection()
    disk: DiskSection = DiskSection()
    lock: LockSection = LockSection()
    http: HttpSection = HttpSection()

    @property
    def shares_cloud_broker(self) -> bool:
        """Whether data topics are on the cloud's broker, below `data/{device}/`."""
        return not self.data.broker


def find_config(environment: Mapping[str, str]) -> Path:
    """The settings file to use when none is named.

    Raises:
        ConfigError: there is none.
    """
    named = environment.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    for place in DEFAULT_PATHS:
        if Path(place).is_file():
            return Path(place)
    raise ConfigError(
        f"no settings file: expected ${CONFIG_VARIABLE}, {' or '.join(DEFAULT_PATHS)}",
        hint="run 'edge-agent init --device NAME', or name the file with --config",
        code="config_missing",
    )


def load(path: Path, environment: Mapping[str, str]) -> Settings:
    """Read a settings file; variables of the environment win over it.

    Raises:
        ConfigError: unreadable, not TOML, an unknown key, or a value that does not fit.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"settings file {path} cannot be read: {error.strerror}",
            hint="check the path and its permissions, or run 'edge-agent init --device NAME'",
            code="config_unreadable",
        ) from error
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError(
            f"settings file {path} expected at most {MAX_CONFIG_BYTES} bytes, found more",
            hint="is it a settings file?",
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path} line {line}: expected UTF-8 text, found {error.reason}",
            hint="save the file as UTF-8",
        ) from error
    return parse(text, environment, source=str(path), folder=path.parent)


def parse(text: str, environment: Mapping[str, str], *, source: str, folder: Path) -> Settings:
    """Settings from the text of a settings file.

    Args:
        text: TOML.
        environment: variables that win over the file.
        source: the file's name, for errors.
        folder: what relative paths in the file are relative to.

    Raises:
        ConfigError: see `load`.
    """
    settings = read_toml(text, Settings, source=source, error=ConfigError)
    variables = {name: environment[name] for name in environment if name != CONFIG_VARIABLE}
    settings = override(settings, variables, prefix=ENVIRONMENT_PREFIX, error=ConfigError)
    lines = key_lines(text)

    def place(section: str, key: str) -> str:
        variable = f"{ENVIRONMENT_PREFIX}_{section}_{key}".upper()
        if variable in variables:
            return f"environment variable {variable}"
        return f"{source} line {line_of(lines, (section, key))}: {section}.{key}"

    try:
        check_name("device", settings.agent.device)
    except ContractError as error:
        found = error.text.removeprefix("device name ")
        raise ConfigError(f"{place('agent', 'device')} {found}", hint=error.hint) from error
    _refuse_user(place("cloud", "url"), settings.cloud.url)
    _check_url(place("cloud", "url"), settings.cloud.url, ("http", "https"))
    _check_url(place("cloud", "broker"), settings.cloud.broker, ("mqtt", "mqtts"))
    if settings.data.broker:
        _check_url(place("data", "broker"), settings.data.broker, ("mqtt", "mqtts"))
    try:
        for name in settings.hardware.providers:
            check_provider(name)
    except ContractError as error:
        found = error.text.removeprefix("execution provider ")
        raise ConfigError(f"{place('hardware', 'providers')} {found}", hint=error.hint) from error
    try:
        parse_options(settings.hardware.options)
    except ContractError as error:
        raise ConfigError(
            f"{place('hardware', 'options')} {error.text}",
            hint=error.hint or 'for example ["openvino.device_type=GPU"]',
        ) from error
    if settings.http.listen:
        _check_listen(place("http", "listen"), settings.http)
    return _resolve_paths(settings, folder.absolute())


def _check_listen(place: str, http: HttpSection) -> None:
    try:
        address = parse_address(http.listen)
    except ContractError as error:
        raise ConfigError(f"{place} {error.text}", hint=error.hint) from error
    if not address.is_loopback and not http.allow_remote:
        raise ConfigError(
            f"{place}: {http.listen!r} is open to other machines, and nobody is asked who he is",
            hint="listen on 127.0.0.1, or set http.allow_remote = true",
            code="remote_not_allowed",
        )


def _refuse_user(place: str, url: str) -> None:
    """The service asks for none, and its address is told in logs, reports and downloads."""
    if "@" in url:
        raise ConfigError(
            f"{place} expected no user and no password, found {hide_user(url)!r:.200}",
            hint="take out what stands before the '@'; a proxy that must know the device asks "
            "for its certificate: cloud.cert_file and cloud.key_file",
            code="user_in_url",
        )


def in_memory(settings: Settings, folder: Path) -> Settings:
    """The settings of an agent whose state is in memory, of which it is frugal."""
    return msgspec.structs.replace(
        settings,
        agent=msgspec.structs.replace(settings.agent, state_dir=str(folder)),
        disk=msgspec.structs.replace(settings.disk, ballast_mb=0),
        outbox=msgspec.structs.replace(settings.outbox, max_mb=LEAST_OUTBOX_MB),
    )


def _check_url(place: str, url: str, schemes: tuple[str, ...]) -> None:
    wanted = " or ".join(f"{scheme}://HOST[:PORT]" for scheme in schemes)
    try:
        parts = urlsplit(url)
        is_fine = (
            parts.scheme in schemes
            and bool(parts.hostname)
            and parts.port != 0
            and url.count("@") == parts.netloc.count("@")  # else a password has ended the host
        )
    except ValueError:  # a port that is no number
        is_fine = False
    if not is_fine:
        raise ConfigError(
            f"{place} expected {wanted}; found {hide_user(url)!r:.200}",
            hint=f'for example "{schemes[0]}://cloud.example"',
        )


def _resolve_paths(settings: Settings, folder: Path) -> Settings:
    """Make paths absolute, so that a later change of the working directory means nothing."""

    def full(path: str) -> str:
        return os.path.normpath(folder / path) if path else ""

    files = ("ca_file", "cert_file", "key_file")
    cloud, data = settings.cloud, settings.data
    return msgspec.structs.replace(
        settings,
        agent=msgspec.structs.replace(settings.agent, state_dir=full(settings.agent.state_dir)),
        cloud=msgspec.structs.replace(
            cloud, **{name: full(getattr(cloud, name)) for name in files}
        ),
        data=msgspec.structs.replace(data, **{name: full(getattr(data, name)) for name in files}),
    )
