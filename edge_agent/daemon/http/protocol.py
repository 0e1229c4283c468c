"""What the agent tells the HTTP server's process, and what it hears from it.

The agent writes one `ServerSpec` as a JSON line to the process's standard input and keeps the pipe
open: its end means stop. The process writes one `ServerSaid` line to its standard output.
"""

from typing import Final

import msgspec
from msgspec import Struct

from edge_agent.daemon.http.limits import Limits


class ServerSpec(Struct, frozen=True, kw_only=True):
    """Everything that the server needs.

    Attributes:
        host: address to listen on.
        port: 0 for any that is free.
        state_dir: where the agent's socket is.
        run_folder: where the workers' sockets are.
        version: of the agent.
    """

    host: str
    port: int
    state_dir: str
    run_folder: str
    version: str
    limits: Limits


BEAT_S: Final = 5.0
"""So often the server says that it listens: a sign that its loop goes round."""


class ServerSaid(Struct, frozen=True, kw_only=True):
    """Whether it listens.

    Attributes:
        url: where; empty if it does not.
        error: why it does not; empty if it does.
    """

    url: str = ""
    error: str = ""


class HttpStatus(Struct, frozen=True, kw_only=True):
    """The local HTTP server, as the agent sees it.

    Attributes:
        url: where it listens; empty if it does not.
        error: why it does not; empty if it does, or is about to.
        pid: of its process; 0 if there is none.
        restarts: of its process, after the first start.
    """

    url: str = ""
    error: str = ""
    pid: int = 0
    restarts: int = 0


spec_decoder: Final = msgspec.json.Decoder(ServerSpec)
said_decoder: Final = msgspec.json.Decoder(ServerSaid)
