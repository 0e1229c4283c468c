"""`shoal device retry` and `restart`: what a device is asked to do once, now."""

from typing import Annotated

import typer

from cloud_sync.cli.options import JsonFlag, Reason
from cloud_sync.cli.session import open_client

_Device = Annotated[str, typer.Argument(metavar="DEVICE", help="The device's name.")]
_Slot = Annotated[str, typer.Argument(metavar="SLOT", help="The slot's name.")]


def retry(
    context: typer.Context,
    device: _Device,
    slot: _Slot,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Have a device try a version again that failed there, without waiting for the next attempt.

    Waits for the device's word that it begins, for 10 s at most; how the attempt ends is shown by
    `shoal device explain`.

    \b
    Example:
      shoal device retry line-1 shuttle-anomaly
    """
    from cloud_sync.cli.output import print_json, print_line

    with open_client(context) as client:
        done = client.devices.command(device, "retry-slot", slot=slot, reason=reason)
    if as_json:
        print_json(done)
        return
    print_line(f"{done.device} tries {done.slot} again")


def restart(
    context: typer.Context,
    device: _Device,
    slot: _Slot,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Have a device end the process of a slot and start another. Messages wait meanwhile.

    \b
    Example:
      shoal device restart line-1 shuttle-anomaly --reason "its memory grows"
    """
    from cloud_sync.cli.output import print_json, print_line

    with open_client(context) as client:
        done = client.devices.command(device, "restart-slot", slot=slot, reason=reason)
    if as_json:
        print_json(done)
        return
    print_line(f"{done.device} starts {done.slot} again")
