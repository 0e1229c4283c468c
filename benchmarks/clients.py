"""Which MQTT client for the worker? `python -m benchmarks.clients [--rounds 3] [--seconds 2]`

The same echo with each client on mosquitto, in turns: 64-byte payloads with QoS 0 and 1, as fast as
answers come. The reference is an echo in C; a client that is not installed is left out and said so,
as is the C echo without a compiler. `*_cpu_us` is the echo's processor time for one message.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.echoes import Echo, compile_c_echo, start_echo
from benchmarks.report import Figure, finish, say
from tests.support.brokers import MosquittoBroker

OWN: Final = ("own", "own_v5")
PEERS: Final = {"paho": "paho", "paho-v5": "paho", "gmqtt": "gmqtt", "mqtt5": "mqtt5"}
PAYLOAD_BYTES: Final = 64


def round_of(
    broker: MosquittoBroker, echo: Echo, qos: int, seconds: float, file: Path
) -> dict[str, float]:
    before_s = echo.cpu_s()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.load", broker.host, str(broker.port)),
            *(echo.topic_in, echo.topic_out, str(qos), str(seconds), "0", str(file)),
        ],
        capture_output=True,
        check=True,
        timeout=seconds + 30,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    figures["cpu_us"] = (echo.cpu_s() - before_s) / max(1.0, figures["received"]) * 1e6
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    result: dict[str, Figure] = {"broker": "mosquitto"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        payload = folder / "payload"
        payload.write_bytes(b"x" * PAYLOAD_BYTES)
        broker = MosquittoBroker(folder / "mosquitto", is_durable=False)
        broker.start()
        echoes: list[Echo] = []
        try:
            program = compile_c_echo(folder)
            if program is None:
                say("no C compiler: the C echo is left out")
            else:
                echoes.append(start_echo(broker, "c", [str(program)]))
            echoes += [start_echo(broker, name) for name in OWN]
            for peer, module in PEERS.items():
                if importlib.util.find_spec(module) is None:
                    say(f"{module} is not installed: left out")
                    continue
                echoes.append(start_echo(broker, peer))
            found: dict[tuple[str, int], list[dict[str, float]]] = {}
            for number in range(options.rounds):
                for qos in (0, 1):
                    for echo in echoes if number % 2 == 0 else reversed(echoes):
                        figures = round_of(broker, echo, qos, options.seconds, payload)
                        found.setdefault((echo.name, qos), []).append(figures)
                        say(
                            f"  {echo.name:8} qos {qos} {figures['messages_per_s']:9.0f}/s"
                            f"  cpu {figures['cpu_us']:6.1f} us"
                            f"  load {figures['load_cpu_us']:5.1f} us"
                        )
        finally:
            for echo in echoes:
                echo.stop()
            broker.stop()
    for (name, qos), rounds in found.items():
        key = f"{name.replace('-', '_')}_qos{qos}"
        speed = statistics.median(figures["messages_per_s"] for figures in rounds)
        result[f"{key}_messages_per_s"] = round(speed)
        result[f"{key}_cpu_us"] = round(statistics.median(f["cpu_us"] for f in rounds), 1)
        if program is not None:
            reference = statistics.median(f["messages_per_s"] for f in found["c", qos])
            result[f"{key}_vs_c"] = round(speed / reference, 3)
    installed = sorted({m for m in PEERS.values() if importlib.util.find_spec(m) is not None})
    finish("clients", result, ["paho-mqtt" if m == "paho" else m for m in installed])


if __name__ == "__main__":
    main()
