"""User and password that stand in a URL before its host: taken out before anybody is shown it.

Pure, and never raises: most URLs that are shown are shown because something is wrong with them.
"""

import re
from typing import Final

HIDDEN: Final = "***"

_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*$")


def hide_user(url: str) -> str:
    """A URL without user and password, however malformed it is.

    Everything before the last "@" goes: a password that nobody quoted may hold any character,
    and then what a parser takes for host and port is the beginning of the password.
    """
    before, at, host = url.rpartition("@")
    if not at:
        return url
    scheme, separator, _ = before.partition("://")
    kept = f"{scheme}://" if separator and _SCHEME.match(scheme) else ""
    return f"{kept}{HIDDEN}@{host}"
