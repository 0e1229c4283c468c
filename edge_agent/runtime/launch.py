"""What the agent and the zygote say to each other, one JSON message a packet.

The agent asks for a process and sends the process's file descriptors along; the zygote answers
with the process id and a descriptor of the process, and later with how it ended. Values only.
"""

from typing import Final

import msgspec
from msgspec import Struct

MAX_PACKET_BYTES: Final = 64 * 1024
MAX_HANDLES: Final = 8

UNSEEN: Final = 1000
"""Return code of a process whose end nobody saw: the zygote that would have was gone."""


class Launch(Struct, frozen=True, tag="launch"):
    """A process is wanted. With it come the descriptors that it will have as 0, 1, 2 ...

    Attributes:
        number: comes back with the answer.
        title: what `ps` shows; the kernel keeps the first 15 bytes.
    """

    number: int
    title: str


class Usable(Struct, frozen=True, tag="usable"):
    """Everything is imported: processes can be launched."""


class Broken(Struct, frozen=True, tag="broken"):
    """It cannot be imported here, or the zygote cannot fork; it ends."""

    text: str


class Launched(Struct, frozen=True, tag="launched"):
    """The process lives. With it comes a descriptor of the process (a pidfd)."""

    number: int
    pid: int


class NotLaunched(Struct, frozen=True, tag="not_launched"):
    """The machine has no room for another process."""

    number: int
    text: str


class Ended(Struct, frozen=True, tag="ended"):
    """A process ended. `returncode` as of `subprocess`: negative for a signal."""

    pid: int
    returncode: int


Said = Usable | Broken | Launched | NotLaunched | Ended

encoder: Final = msgspec.json.Encoder()
launch_decoder: Final = msgspec.json.Decoder(Launch)
said_decoder: Final[msgspec.json.Decoder[Said]] = msgspec.json.Decoder(Said)
