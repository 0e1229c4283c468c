"""The reference beside the worker: a bare paho program that sends every payload back.

`python -m benchmarks.echo HOST PORT IN OUT`. Written as one would write it by hand, with the
settings that the worker's connection has: MQTT 3.1.1, TCP_NODELAY, inline callback.
"""

import socket
import sys
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main(host: str, port: int, topic_in: str, topic_out: str) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="echo", clean_session=False)
    client.max_inflight_messages_set(0)

    def no_delay(_client: mqtt.Client, _data: Any, connection: Any) -> None:  # paho's signature
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connected(*_: Any) -> None:  # paho's signature
        client.subscribe(topic_in, qos=1)

    def ready(*_: Any) -> None:  # paho's signature
        print("ready", flush=True)

    def received(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        client.publish(topic_out, message.payload, qos=message.qos)

    client.on_socket_open = no_delay
    client.on_connect = connected
    client.on_subscribe = ready
    client.on_message = received
    client.connect(host, port)
    client.loop_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
