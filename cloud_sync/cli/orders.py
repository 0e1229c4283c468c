"""`shoal device retry` and `restart`: what a device is asked to do once, now."""

import typer

from cloud_sync.cli.options import DeviceName, JsonFlag, Reason, SlotName
from cloud_sync.cli.session import open_client


def retry(
    context: typer.Context,
    device: DeviceName,
    slot: SlotName,
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
    from cloud_sync.cli.output import print_done

    with open_client(context) as client:
        done = client.devices.command(device, "retry-slot", slot=slot, reason=reason)
    print_done(done, f"{done.device} tries {done.slot} again", as_json=as_json)


def restart(
    context: typer.Context,
    device: DeviceName,
    slot: SlotName,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Have a device end the process of a slot and start another. Messages wait meanwhile.

    \b
    Example:
      shoal device restart line-1 shuttle-anomaly --reason "its memory grows"
    """
    from cloud_sync.cli.output import print_done

    with open_client(context) as client:
        done = client.devices.command(device, "restart-slot", slot=slot, reason=reason)
    print_done(done, f"{done.device} starts {done.slot} again", as_json=as_json)
