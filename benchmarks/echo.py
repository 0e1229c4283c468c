"""The reference beside the worker: an echo with the worker's own client, and nothing else.

`python -m benchmarks.echo HOST PORT IN OUT [--protocol auto|3.1.1|5]`: the same connection, loop
and bookkeeping as a worker; every payload goes back as it came.
"""

import argparse
from collections.abc import Sequence

from edge_agent.runtime.loop import Loop
from edge_agent.runtime.message import Incoming, Outgoing, Settled
from edge_agent.runtime.protocol import BrokerAddress
from edge_agent.runtime.transport import Transport


class EchoSlot:
    """Answers at once.

    Args:
        topic: that payloads go back on.
    """

    is_wary = False

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def offer(self, messages: Sequence[Incoming]) -> list[Settled]:
        return [
            Settled(message.token, Outgoing(self._topic, message.payload)) for message in messages
        ]

    def due(self, now: float) -> float | None:  # noqa: ARG002 -- the interface's
        return None

    def run(self, now: float) -> list[Settled]:  # noqa: ARG002 -- the interface's
        return []

    def sent(self, now: float) -> None:
        """Nothing is left to do."""

    def withdraw(self) -> None:
        """Nothing waits here."""

    def left_out(self, reason: str, answer: Outgoing | None) -> None:  # noqa: ARG002 -- the interface's
        """A measurement without this message would be wrong."""
        raise RuntimeError(f"a message was left out: {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("host", "port", "topic_in", "topic_out"):
        parser.add_argument(name)
    parser.add_argument("--protocol", choices=("auto", "3.1.1", "5"), default="auto")
    options = parser.parse_args()
    loop = Loop()
    transport = Transport(
        loop,
        BrokerAddress(url=f"mqtt://{options.host}:{options.port}", protocol=options.protocol),
        f"echo-{options.protocol}".replace(".", "-"),  # NATS refuses ids with a '.'
        [options.topic_in],
        slot=EchoSlot(options.topic_out),
        on_connected=lambda _: print("ready", flush=True),
        on_disconnected=print,
        on_left=loop.stop,
    )
    loop.call_soon(transport.start)
    loop.run()


if __name__ == "__main__":
    main()
