"""What every command is run with: which service, and who asks. Opens the client for it."""

import getpass
import os
from typing import TYPE_CHECKING, Final

import typer
from msgspec import Struct

if TYPE_CHECKING:
    from cloud_sync.client import ShoalClient

DEFAULT_SERVER: Final = "http://127.0.0.1:8080"


class Session(Struct, frozen=True):
    """The options of `shoal` itself.

    Attributes:
        server: address of the service.
        actor: name for the audit log.
        timeout_s: of the client.
    """

    server: str = DEFAULT_SERVER
    actor: str = "anonymous"
    timeout_s: float = 30.0


def login_name() -> str:
    """Who is at the keyboard; `anonymous` where the system has no name for the user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"


def session_of(context: typer.Context) -> Session:
    """The session that the root command put into the context."""
    found = context.find_object(Session)
    return found if found is not None else Session()


def open_client(context: typer.Context) -> "ShoalClient":
    """A client for the service that the options name. Connects at the first question."""
    from cloud_sync.client import ShoalClient

    session = session_of(context)
    return ShoalClient(session.server, actor=session.actor, timeout=session.timeout_s)
