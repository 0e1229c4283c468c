"""One thing done to a device again and again under load: the head of `crash` and `swap`."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.device import Device
from benchmarks.report import Figure, finish

EVERY_S = 0.005
"""From one numbered row to the next."""
LONGEST_S = 120.0
"""For one answer."""
LAST_WAIT_S = 20.0
"""For the answers that are missing at the end."""


def repeat(
    name: str,
    what: str,
    times: int,
    measure: Callable[[Device, int, float], dict[str, Figure]],
    description: str | None,
) -> int:
    """Read the command line, measure on a device, and tell the figures.

    Args:
        name: of the benchmark.
        what: is done, as the option for how often: "kills".
        times: how often, unless told otherwise.
        measure: given the device, how often, and how many seconds it may take.
        description: for --help.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(f"--{what}", dest="times", type=int, default=times)
    parser.add_argument("--broker", choices=("mosquitto", "nats"), default="mosquitto")
    parser.add_argument("--seconds", type=float, default=480.0, help=f"longest time for all {what}")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix=f"shoal-{name}-") as folder,
        Device(Path(folder), options.broker) as device,
    ):
        figures = measure(device, options.times, options.seconds)
    figures = {"broker": options.broker, **figures}
    finish(name, figures, ("onnxruntime", "msgspec"), variant=options.broker)
    return 0
