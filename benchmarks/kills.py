"""What is lost, stored twice or sent again when device and broker are killed under messages?

    python -m benchmarks.kills [--messages 100000] [--kills 100] [--broker mosquitto|nats]

Numbered results go from a device's outbox over a real broker to the real service, and the device's
process and the broker are ended by SIGKILL in turns, `--kills` times each. `acknowledged_lost`
counts messages that the outbox had taken and that are not in the service's database at the end,
when every one of them was acknowledged; `duplicate_rows` rows of it beyond one a message;
`received_rows` rows that a subscriber of its own got from the broker, and `received_twice_rows` how
often it got one beyond the first time: it also sees what the MQTT client publishes again by itself;
`resent_percent` how many sendings there were beyond the first of each row, by the device's log or
by that subscriber, whichever saw more.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Figure, finish, say
from cloud_sync.broker.embedded import EmbeddedBroker
from tests.support.brokers import Broker, MosquittoBroker
from tests.support.killed_flow import endure


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--per-second", type=float, default=400.0)
    parser.add_argument("--kills", type=int, default=100, help="of each of the two")
    parser.add_argument("--broker", choices=("mosquitto", "nats"), default="mosquitto")
    options = parser.parse_args()
    figures = kills(options.messages, options.kills, options.per_second, options.broker)
    finish("kills", figures, ("paho-mqtt", "msgspec"), variant=options.broker)
    return 0


def kills(
    messages: int, each: int, per_second: float = 400.0, broker: str = "mosquitto"
) -> dict[str, Figure]:
    """Run it once.

    Args:
        messages: how many numbers.
        each: kills of the device and of the broker, each.
        per_second: rate at which the numbers come into being.
        broker: "mosquitto", set so that it keeps what it has acknowledged, or "nats".
    """
    with tempfile.TemporaryDirectory(prefix="shoal-kills-") as name:
        folder = Path(name)
        between: Broker = (
            EmbeddedBroker(folder / "broker")
            if broker == "nats"
            else MosquittoBroker(folder / "broker")
        )
        between.start()
        began = time.monotonic()
        try:
            flow = endure(
                folder, between, messages=messages, per_second=per_second, kills=each, say=say
            )
        finally:
            between.stop()
    return {
        "broker": broker,
        "messages": flow.messages,
        "agent_kills": flow.agent_kills,
        "broker_kills": flow.broker_kills,
        "acknowledged_lost": flow.lost,
        "duplicate_rows": flow.duplicates,
        "sent_rows": flow.sent,
        "received_rows": flow.received,
        "received_twice_rows": flow.received_twice,
        "resent_rows": flow.resent,
        "resent_percent": round(100 * flow.resent / flow.messages, 3),
        "kills_s": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
