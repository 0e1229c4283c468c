"""`shoal device ...`: single devices of the fleet."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_sync.cli import orders, words
from cloud_sync.cli.options import (
    DeviceName,
    JsonFlag,
    Limit,
    Reason,
    SlotName,
    TagFilter,
    Where,
    pairs,
)
from cloud_sync.cli.session import open_client
from cloud_sync.cli.spread import spread
from cloud_sync.cli.tagging import Tagging

if TYPE_CHECKING:
    from cloud_sync.cli.output import Cell
    from cloud_sync.resources import DeviceDetail
    from edge_agent.contract.messages import Health

app = typer.Typer(
    help="Look at devices, tag them, and ask why they do what they do.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("retry")(orders.retry)
app.command("restart")(orders.restart)


@app.command("list")
def list_devices(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", metavar="GLOB", help="Only these names.")] = "",
    tag: TagFilter = None,
    where: Where = "",
    as_json: JsonFlag = False,
) -> None:
    """List the devices: presence, tags, and whether they run what they should.

    With --where those that an expression means, as it would with `shoal deploy --to`.

    \b
    Example:
      shoal device list --tag site=hall-2
      shoal device list --where 'site=oslo and not (tag:lab or shuttle-anomaly=v3)'
    """
    from cloud_sync.cli.deafness import warn_if_deaf
    from cloud_sync.cli.output import Column, print_json, print_table, right
    from cloud_sync.cli.status import presence_cell

    with open_client(context) as client:
        devices = client.devices.search(name=name, tags=pairs(tag, "--tag"), where=where)
        warn_if_deaf(client, (device.presence for device in devices), as_json=as_json)
    if as_json:
        print_json(devices)
        return
    rows = [
        (
            device.device,
            presence_cell(device.presence),
            words.age(device.age_s),
            str(len(device.slots)),
            "yes" if device.is_settled else "no",
            words.tags(device.tags),
        )
        for device in devices
    ]
    columns = [
        Column("device"),
        Column("presence"),
        right("seen"),
        right("slots"),
        Column("settled"),
        Column("tags", wraps=True),
    ]
    print_table(columns, rows, "no devices match")


@app.command()
def show(context: typer.Context, device: DeviceName, as_json: JsonFlag = False) -> None:
    """Show everything that is known about a device, each with its age.

    \b
    Example:
      shoal device show line-1
    """
    from cloud_sync.cli.numbers import print_numbers
    from cloud_sync.cli.output import print_facts, print_json, print_line
    from cloud_sync.cli.status import print_status

    with open_client(context) as client:
        detail = client.devices.show(device)
    if as_json:
        print_json(detail)
        return
    print_facts(_facts(detail))
    if detail.summary.slots:
        print_line("")
        print_status([detail.summary])
        print_line("")
        print_numbers(detail)


@app.command()
def shadows(context: typer.Context, device: DeviceName, as_json: JsonFlag = False) -> None:
    """Show how the shadows of a device compare with the slots that they shadow.

    Agreement and differences are of the messages that both answered; PSI says how far apart the
    distributions of their scores are: alike below 0.1, different above 0.25. Figures come with the
    device's health reports; with --json, `shadow` is null until the first, and `since` says when
    the slot's phase began.

    \b
    Example:
      shoal device shadows line-1
    """
    from cloud_sync.cli.output import print_json
    from cloud_sync.cli.shadows import print_shadows

    with open_client(context) as client:
        detail = client.devices.show(device)
    if as_json:
        print_json({name: s for name, s in detail.summary.slots.items() if s.shadows})
        return
    interval_s = detail.health.interval_s if detail.health else None
    print_shadows(detail.summary, interval_s=interval_s, now=time.time())


@app.command()
@spread
def tag(
    context: typer.Context,
    *,
    device: DeviceName,
    tagging: Tagging,
    as_json: JsonFlag = False,
) -> None:
    """Set tags of a device, or take them away.

    \b
    Example:
      shoal device tag line-1 site=hall-2 --remove spare
    """
    from cloud_sync.cli.output import print_done

    changes = tagging.changes()
    with open_client(context) as client:
        summary = client.devices.tag(device, set_tags=changes, remove=tagging.remove or ())
    print_done(summary, f"{summary.device}: {words.tags(summary.tags)}", as_json=as_json)


@app.command()
def add(
    context: typer.Context, device: DeviceName, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """Make a device known before its agent has ever spoken, so that it can be deployed to.

    \b
    Example:
      shoal device add line-7
    """
    from cloud_sync.cli.output import print_done

    with open_client(context) as client:
        summary = client.devices.add(device, reason=reason)
    print_done(summary, f"known: {summary.device}", as_json=as_json)


@app.command()
def remove(
    context: typer.Context, device: DeviceName, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """Forget a device. It becomes known again when its agent speaks.

    \b
    Example:
      shoal device remove line-7 --reason "scrapped"
    """
    from cloud_sync.cli.output import print_done

    with open_client(context) as client:
        deleted = client.devices.remove(device, reason=reason)
    print_done(deleted, f"forgotten: {deleted.what}", as_json=as_json)


@app.command()
def explain(
    context: typer.Context,
    device: DeviceName,
    slot: SlotName,
    as_json: JsonFlag = False,
) -> None:
    """Say why a slot is where it is, what happens next, and what you can do.

    Wanted, running, phase, the step that failed last with its stable code, attempts, the next one:
    as the device last reported it; and what a rollout waits for that has it in its line.
    `edge-agent explain` says at the device what only the device knows.

    \b
    Example:
      shoal device explain line-1 shuttle-anomaly
    """
    from cloud_sync.cli.output import print_facts, print_json
    from cloud_sync.cli.status import phase_cell, presence_cell
    from cloud_sync.cli.waiting import wait_text

    with open_client(context) as client:
        found = client.devices.explain(device, slot)
    if as_json:
        print_json(found)
        return
    now = time.time()
    step = f" (step {found.error_step})" if found.error_step else ""
    waits = {
        f"in {each.rollout}": f"{each.version} {words.spaced(each.state)}"
        + (f", {wait_text(each.waiting, now)}" if each.waiting else "")
        for each in found.rollouts
    }
    lock = found.locked_until
    print_facts(
        {
            "device": found.device,
            "presence": presence_cell(found.presence),
            "slot": found.slot,
            "wanted": _version(found.wanted, found.wanted_digest),
            "running": _version(found.running, found.running_digest),
            "phase": phase_cell(found.phase),
            "in it since": words.since(found.since, now) if found.since else words.NOTHING,
            found.error_row: f"{found.error}{step}" if found.error else words.NOTHING,
            "attempts": str(found.attempts),
            "next try": words.until(found.next_retry_s),
            "updates": words.NOTHING
            if lock is None
            else f"put off by a program there, ends {words.until(lock - now)}",
            **waits,
            "reported": words.age(found.reported_age_s),
            "what to do": found.advice,
        }
    )


@app.command()
def health(
    context: typer.Context, device: DeviceName, limit: Limit = 20, as_json: JsonFlag = False
) -> None:
    """Show a device's health reports, newest first.

    \b
    Example:
      shoal device health line-1 --limit 5
    """
    from cloud_sync.cli.output import Column, print_json, print_table, right

    with open_client(context) as client:
        reports = client.devices.health(device, limit=limit)
    if as_json:
        print_json(reports)
        return
    rows = [
        (
            words.clock(report.time),
            words.duration(report.uptime_s),
            _load(report),
            f"{report.memory_mb:.0f}",
            words.size(report.disk_free_mb * 1e6),
            words.count(report.outbox_rows),
            words.count(report.outbox_dropped),
            words.count(sum(slot.messages_in for slot in report.slots.values())),
            words.count(sum(sum(slot.failed.values()) for slot in report.slots.values())),
            words.count(sum(slot.restarts for slot in report.slots.values())),
        )
        for report in reports
    ]
    columns = [
        Column("time"),
        right("up"),
        right("cpu %"),
        right("memory MB"),
        right("disk free"),
        right("outbox"),
        right("dropped"),
        right("messages"),
        right("failed"),
        right("restarts"),
    ]
    print_table(columns, rows, f"{device} has sent no health report yet")


def _load(health: "Health") -> str:
    return words.NOTHING if health.cpu_percent is None else f"{health.cpu_percent:.1f}"


def _dropped(health: "Health") -> str:
    reasons = [
        f"{count:,} {name} ({reason})"
        for name, outbox in health.outbox.items()
        for reason, count in outbox.dropped.items()
    ]
    return ", ".join(reasons) or f"{health.outbox_dropped:,}"


def _version(name: str, digest: str) -> str:
    return f"{name} {digest}" if name else words.NOTHING


def _facts(detail: "DeviceDetail") -> "dict[str, str | Cell]":
    from cloud_sync.cli.status import presence_cell
    from edge_agent.contract.providers import short_name

    summary, reported, health = detail.summary, detail.reported, detail.health
    facts: dict[str, str | Cell] = {
        "device": summary.device,
        "presence": presence_cell(summary.presence),
        "last seen": words.age(summary.age_s),
        "tags": words.tags(summary.tags),
        "revision wanted": str(summary.revision_wanted),
        "revision applied": str(max(summary.revision_applied, 0)),
        "settled": "yes" if summary.is_settled else "no",
        "reported": words.age(detail.reported_age_s),
    }
    if reported is not None:
        agent, machine = reported.agent, reported.hardware
        facts["agent"] = f"{agent.version}, onnxruntime {agent.onnxruntime or words.NOTHING}"
        facts["machine"] = (
            f"{machine.machine or words.NOTHING}, {words.plural(machine.cpus, 'CPU')}, "
            f"{words.size(machine.memory_mb * 1e6)} memory, {machine.system}"
        )
        if machine.providers:
            facts["models run on"] = ", ".join(map(short_name, machine.providers))
    facts["health"] = words.age(detail.health_age_s)
    if health is not None:
        facts["load"] = (
            f"{_load(health)} % CPU, {health.memory_mb:.0f} MB memory, "
            f"{words.size(health.disk_free_mb * 1e6)} disk free"
            f"{' (low: no downloads, no captures)' if health.disk_low else ''}"
        )
        facts["outbox"] = f"{words.plural(health.outbox_rows, 'row')}, dropped: {_dropped(health)}"
    return facts
