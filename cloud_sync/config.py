"""The service's settings: `cloud-sync.toml`, then environment variables, then the command line.

Describes and reads settings; starts nothing and creates nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from cloud_sync.errors import ConfigError
from edge_agent.contract.environment import override
from edge_agent.contract.toml import read_toml

FILE_NAME: Final = "cloud-sync.toml"
ENVIRONMENT_PREFIX: Final = "CLOUD_SYNC"
MAX_FILE_BYTES: Final = 2**20

Port = Annotated[int, Meta(ge=0, le=65_535)]
Days = Annotated[float, Meta(gt=0, le=36_500)]
Rows = Annotated[int, Meta(ge=1)]


class ServiceSettings(Struct, frozen=True, kw_only=True):
    """`[service]`.

    Attributes:
        data_dir: database, blobs and the embedded broker's store; relative to the settings file.
    """

    data_dir: Annotated[str, Meta(min_length=1)] = "cloud-sync-data"


class HttpSettings(Struct, frozen=True, kw_only=True):
    """`[http]`: the API.

    Attributes:
        host: address to listen on.
        port: 0 chooses a free one.
        allow_remote: listen on other addresses than loopback although anybody who reaches the
            service may change everything.
        max_blob_mb: largest file that is taken.
        max_downloads: files that are sent at a time; who asks beyond that is told when to come
            again.
    """

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Port = 8080
    allow_remote: bool = False
    max_blob_mb: Annotated[int, Meta(ge=1)] = 4096
    max_downloads: Annotated[int, Meta(ge=1, le=100_000)] = 64


class FleetSettings(Struct, frozen=True, kw_only=True):
    """`[fleet]`.

    Attributes:
        starts_per_s: devices that begin in one second, on average, with what many are told at
            once or would do at once: fetch a new version, come back after the broker was away.
    """

    starts_per_s: Annotated[float, Meta(gt=0, le=100_000)] = 50.0


class BrokerSettings(Struct, frozen=True, kw_only=True):
    """`[broker]`: MQTT.

    Attributes:
        url: `mqtt://[user[:password]@]host[:port]` or `mqtts://`; empty starts the embedded broker.
        host: address of the embedded broker.
        port: port of the embedded broker; 0 chooses a free one.
        ca_file: certificates to trust instead of the system's, for `mqtts://`.
        cert_file: the service's certificate.
        key_file: its key.
    """

    url: str = ""
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Port = 1883
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class DatabaseSettings(Struct, frozen=True, kw_only=True):
    """`[database]`.

    Attributes:
        url: SQLAlchemy URL; empty is a SQLite file in the data folder.
    """

    url: str = ""


class RetentionSettings(Struct, frozen=True, kw_only=True):
    """`[retention]`: what is kept, by age and by number, whichever is less.

    Attributes:
        health_days: health reports are kept for so many days.
        events_days: events likewise.
        results_days: results that devices sent home, likewise.
        labels_days: delayed labels likewise, from when they were told last.
        health_rows: newest health reports that are kept at most.
        events_rows: events likewise.
        results_rows: results likewise.
        labels_rows: delayed labels likewise.
        rollouts_days: rollouts are kept for so many days after their end.
        rollout_events_days: entries of their histories likewise, from when they were written.
        rollout_rows: devices of rollouts that are kept at most; the oldest rollouts that are over
            go first, and those that are not over stay.
        rollout_events_rows: newest entries of histories that are kept at most.
        received_days: how long it is remembered which of a device's rows were taken in; one that
            is sent again after that is counted twice.
        received_rows: newest of these memories that are kept at most, some 100 bytes each.
        measures_days: what a version did on a device, by which rollouts are judged, is kept for so
            many days after it last did something there.
        measures_rows: newest of these that are kept at most, some 500 bytes each.
        hour: of the day (local time) at which old rows and unused blobs are deleted.
        unused_blob_days: how long an uploaded file waits to be named by a model or module.
    """

    health_days: Days = 7
    events_days: Days = 90
    results_days: Days = 30
    health_rows: Rows = 2_000_000
    events_rows: Rows = 1_000_000
    results_rows: Rows = 5_000_000
    labels_days: Days = 90
    labels_rows: Rows = 1_000_000
    rollouts_days: Days = 365
    rollout_events_days: Days = 90
    rollout_rows: Rows = 2_000_000
    rollout_events_rows: Rows = 5_000_000
    received_days: Days = 60
    received_rows: Rows = 10_000_000
    measures_days: Days = 90
    measures_rows: Rows = 5_000_000
    unused_blob_days: Days = 1
    hour: Annotated[int, Meta(ge=0, le=23)] = 3


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set."""

    service: ServiceSettings = ServiceSettings()
    http: HttpSettings = HttpSettings()
    broker: BrokerSettings = BrokerSettings()
    fleet: FleetSettings = FleetSettings()
    database: DatabaseSettings = DatabaseSettings()
    retention: RetentionSettings = RetentionSettings()


TEMPLATE: Final = """\
# Settings of cloud-sync. Every key is optional; what is commented out shows its default.
# Each can also be given as an environment variable: CLOUD_SYNC_HTTP_PORT=8081

[service]
# Database, blobs and the embedded broker's store. Relative to this file.
data_dir = "{data_dir}"

[http]
# host = "127.0.0.1"
# port = 8080                 # 0 chooses a free one
# allow_remote = false        # needed for any host that is not loopback: there is no login yet
# max_blob_mb = 4096
# max_downloads = 64          # files sent at a time; who asks beyond that comes again later

[fleet]
# starts_per_s = 50           # devices that begin in a second with what concerns many

[broker]
# url = ""                    # mqtt://host:1883 or mqtts://host:8883; empty: the embedded broker
# host = "127.0.0.1"          # of the embedded broker
# port = 1883                 # of the embedded broker; 0 chooses a free one
# ca_file = ""
# cert_file = ""
# key_file = ""

[database]
# url = ""                    # postgresql+psycopg://...; empty: SQLite in the data folder

[retention]
# health_days = 7
# events_days = 90
# results_days = 30
# health_rows = 2000000
# events_rows = 1000000
# results_rows = 5000000
# rollouts_days = 365         # after their end
# rollout_events_days = 90
# rollout_rows = 2000000      # devices of rollouts; the oldest rollouts that are over go first
# rollout_events_rows = 5000000
# received_days = 60          # how long a row that is sent again is known to be here already
# received_rows = 10000000
# unused_blob_days = 1
# hour = 3                    # local time of the nightly cleaning
"""


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Args:
        path: the settings file, or None for defaults alone.
        environment: of the process.

    Returns:
        Settings whose `data_dir` is absolute if there is a file (relative to its folder).

    Raises:
        ConfigError: the file is missing, unreadable or wrong, or a variable is.
    """
    settings = Settings()
    if path is not None:
        settings = read_toml(_read(path), Settings, source=str(path), error=ConfigError)
        data_dir = path.absolute().parent / settings.service.data_dir
        settings = msgspec.structs.replace(
            settings, service=ServiceSettings(data_dir=str(data_dir))
        )
    return override(settings, environment, prefix=ENVIRONMENT_PREFIX, error=ConfigError)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            f"settings file {path} does not exist", hint="cloud-sync init writes one"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"settings file {path} cannot be read: {error.strerror}",
            hint="check its name and its permissions",
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            f"settings file {path} is larger than {MAX_FILE_BYTES} bytes",
            hint="name the settings file",
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path} line {line}: not UTF-8", hint="save the file as UTF-8"
        ) from error
