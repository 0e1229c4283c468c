"""The same echo with other MQTT clients: `python -m benchmarks.echo_peers CLIENT HOST PORT IN OUT`.

Written as one would write each by hand, with TCP_NODELAY. `mqtt5` is a codec without sockets, so it
gets a blocking socket that reads and writes many packets at once, as our own does.
"""

import asyncio
import socket
import sys
from typing import Any


def paho(host: str, port: int, topic_in: str, topic_out: str, *, is_v5: bool = False) -> None:
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    version = mqtt.MQTTv5 if is_v5 else mqtt.MQTTv311
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=f"echo-paho-{version}", protocol=version
    )
    client.max_inflight_messages_set(0)

    def no_delay(_client: Any, _data: Any, connection: Any) -> None:  # paho's signature
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connected(*_: Any) -> None:  # paho's signature
        client.subscribe(topic_in, qos=1)

    def received(_client: Any, _data: Any, message: Any) -> None:  # paho's signature
        client.publish(topic_out, message.payload, qos=message.qos)

    client.on_socket_open = no_delay
    client.on_connect = connected
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.on_message = received
    client.connect(host, port)
    client.loop_forever()


async def gmqtt(host: str, port: int, topic_in: str, topic_out: str) -> None:
    from gmqtt import Client
    from gmqtt.mqtt.constants import MQTTv311

    client = Client("echo-gmqtt")

    async def received(_client: Any, _topic: str, payload: bytes, qos: int, _: Any) -> int:
        client.publish(topic_out, payload, qos=qos)
        return 0

    client.on_message = received
    client.on_connect = lambda *_: client.subscribe(topic_in, qos=1)
    client.on_subscribe = lambda *_: print("ready", flush=True)
    await client.connect(host, port, version=MQTTv311)
    await asyncio.Event().wait()


def mqtt5(host: str, port: int, topic_in: str, topic_out: str) -> None:
    import mqtt5 as codec

    connection = socket.create_connection((host, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(codec.ConnectPacket("echo-mqtt5", clean_start=True).write())
    connection.sendall(
        codec.SubscribePacket(
            1, [codec.TopicFilter(topic_in, max_qos=codec.QoS.AT_LEAST_ONCE)]
        ).write()
    )
    held, last_id = b"", 0
    waiting: dict[int, int] = {}
    while data := connection.recv(65536):
        held += data
        view, at, out = memoryview(held), 0, []
        while at < len(held):
            try:
                packet, size = codec.read(view[at:])
            except IndexError:  # more bytes are needed
                break
            at += size
            if isinstance(packet, codec.PublishPacket):
                packet_id = None
                if packet.packet_id is not None:
                    packet_id = last_id = last_id % 65535 + 1
                    waiting[last_id] = packet.packet_id
                answer = codec.PublishPacket(
                    topic_out, packet.payload, qos=packet.qos, packet_id=packet_id
                )
                out.append(answer.write())
            elif isinstance(packet, codec.PubAckPacket):
                out.append(codec.PubAckPacket(waiting.pop(packet.packet_id)).write())
            elif isinstance(packet, codec.SubAckPacket):
                print("ready", flush=True)
        held = held[at:]
        if out:
            connection.sendall(b"".join(out))


def main() -> None:
    client, host, port, topic_in, topic_out = sys.argv[1:6]
    match client:
        case "paho":
            paho(host, int(port), topic_in, topic_out)
        case "paho-v5":
            paho(host, int(port), topic_in, topic_out, is_v5=True)
        case "gmqtt":
            asyncio.run(gmqtt(host, int(port), topic_in, topic_out))
        case "mqtt5":
            mqtt5(host, int(port), topic_in, topic_out)
        case _:
            sys.exit(f"no client is called {client!r}")


if __name__ == "__main__":
    main()
