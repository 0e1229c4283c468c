"""A request that is being read, and how much the bodies of all of them hold together. No I/O."""

from edge_agent.daemon.http.request import Refused


class Held:
    """How many bytes of bodies all connections hold together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.bytes = 0

    def take(self, count: int) -> None:
        """Hold more.

        Raises:
            Refused: 503, it would be too many.
        """
        if self.bytes + count > self._limit:
            raise Refused(
                503,
                f"requests of all clients hold {self.bytes} bytes, this one needs {count} more; "
                f"expected at most {self._limit}",
                code="busy",
                headers=(("retry-after", "1"),),
                closes=True,
            )
        self.bytes += count

    def give_back(self, count: int) -> None:
        """Hold less."""
        self.bytes -= count


class Incoming:
    """A request while it is read.

    Attributes:
        url: its target, so far.
        headers: by lower-case name; of a repeated one, the last.
        body: so far, packed as it came.
        head_bytes: of its target and headers, so far.
        header_count: of all headers, repeated ones included.
        method: known when the head is whole; empty before.
        keeps_alive: whether the client wants to go on after it.
        refusal: why it is not answered, once that is known.
    """

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.head_bytes = 0
        self.header_count = 0
        self.held = 0
        self.method = ""
        self.keeps_alive = True
        self.refusal: Refused | None = None

    def hold(self, size: int, held: Held) -> None:
        """Have a body of `size` bytes counted, if less was.

        Raises:
            Refused: 503, all clients together hold too much.
        """
        if size > self.held:
            held.take(size - self.held)
            self.held = size

    def let_go(self, held: Held) -> None:
        """Have it counted no more."""
        held.give_back(self.held)
        self.held = 0
