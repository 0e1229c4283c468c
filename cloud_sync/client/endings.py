"""Many versions of models or modules taken out of use at once."""

from cloud_sync.client.transport import Transport, path_of
from cloud_sync.resources import EndedVersions, EndingWish


class Endings:
    """The group `client.endings`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def retire(self, wish: EndingWish, *, reason: str = "") -> EndedVersions:
        """Keep versions from being deployed again. What runs goes on.

        Raises:
            InvalidInput: the pattern means none.
        """
        return self._transport.ask(
            "POST", path_of("retirements"), EndedVersions, body=wish, reason=reason
        )

    def delete(self, wish: EndingWish, *, reason: str = "") -> EndedVersions:
        """Delete versions; those that a device or a rollout needs stay.

        Raises:
            InvalidInput: the pattern means none.
        """
        return self._transport.ask(
            "POST", path_of("deletions"), EndedVersions, body=wish, reason=reason
        )
