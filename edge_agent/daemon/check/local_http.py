"""The check of local HTTP: is it asked for, and who has the address: our agent, nobody, others?"""

import os
import socket
from typing import Final

from edge_agent.config import HttpSection
from edge_agent.contract.address import Address, parse_address
from edge_agent.daemon.check.finding import Finding
from edge_agent.daemon.http.protocol import HttpStatus

_NAME: Final = "local HTTP"


def check_http(section: HttpSection, served: HttpStatus | None) -> Finding:
    """Look who has the address.

    Args:
        section: what the settings want.
        served: what the running agent serves; None without one.
    """
    listen = section.listen
    if not listen:
        return Finding(name=_NAME, state="ok", text="off: [http] listen is not set")
    if served is not None and served.url:
        return _found(listen, f"{served.url}, served by the agent that runs")
    address = parse_address(listen)
    try:
        _try_to_listen(address)
    except OSError as error:
        return Finding(
            name=_NAME,
            state="fail",
            text=f"http://{listen} cannot be served: {os.strerror(error.errno or 0)}",
            hint="end what listens there, or set another [http] listen",
        )
    return _found(listen, f"http://{listen} is free for the agent")


def _found(listen: str, text: str) -> Finding:
    is_open = not parse_address(listen).is_loopback
    return Finding(
        name=_NAME,
        state="warn" if is_open else "ok",
        text=f"{text}{'; it is open to other machines' if is_open else ''}",
        hint="whoever reaches it can use every model: let a firewall say who does"
        if is_open
        else "",
    )


def _try_to_listen(address: Address) -> None:
    """Listen for a moment, as the server would.

    Raises:
        OSError: it is not possible.
    """
    family, _, _, _, place = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.create_server(place[:2], family=family):
        pass
