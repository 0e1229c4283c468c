"""What `shoal rollout plan` and `start` are asked alike, and the wish that they make of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

if TYPE_CHECKING:
    from cloud_sync.rollout_resources import RolloutWish

PerDevice = Annotated[
    str,
    typer.Option(
        "--per-device",
        metavar="PATTERN",
        help="Instead of MODULE: each device its own, model-for-{device}. Needs --slot.",
    ),
]
PolicyPath = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="TOML; `shoal rollout policy` begins one."),
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="One key of the policy, before the file. Repeatable."
    ),
]
Stages = Annotated[
    str,
    typer.Option("--stages", metavar="LIST", help="Devices, counted from the first: 1,10%,100%."),
]
Soak = Annotated[
    str, typer.Option("--soak", metavar="TIME", help="How long a full stage runs: 30m, 24h.")
]
OnError = Annotated[
    str,
    typer.Option("--on-error", metavar="ACTION", help="pause, rollback-stage or rollback."),
]
Approval = Annotated[
    bool | None,
    typer.Option("--approval/--no-approval", help="Whether somebody else must say yes."),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Of the order of devices: that of a plan repeats it."),
]


class Asked(Struct, frozen=True, kw_only=True):
    """What was typed.

    Attributes:
        module: `NAME[/VERSION]`; empty with `per_device`.
        per_device: a pattern with `{device}`, or empty.
        to: a target expression.
        policy: the policy's file, if one was given.
        settings: `KEY=VALUE` of the policy, in the order in which they count.
    """

    module: str
    per_device: str
    to: str
    slot: str
    input_topic: str
    output_topic: str
    uplink: str
    policy: Path | None
    settings: tuple[str, ...]
    seed: int | None
    reason: str

    def wish(self) -> "RolloutWish":
        """What the service is asked for.

        Raises:
            typer.BadParameter: neither a module nor a pattern, or both.
            InvalidInput: the name or the policy is malformed.
            ConfigError: the policy's file cannot be read.
        """
        from cloud_sync.cli.rollout_policy import read_policy
        from cloud_sync.client.versions import parse_ref
        from cloud_sync.rollout_resources import RolloutWish
        from edge_agent.contract.state import SlotConfig

        if bool(self.module) == bool(self.per_device):
            raise typer.BadParameter("expected MODULE or --per-device PATTERN, one of the two")
        if self.per_device and "{device}" not in self.per_device:
            raise typer.BadParameter("--per-device expected {device} in it: model-for-{device}")
        if self.per_device and not self.slot:
            raise typer.BadParameter("--per-device needs --slot: all of these models go into it")
        name, version = (self.per_device, None)
        if self.module:
            name, version = parse_ref("module", self.module)
        return RolloutWish(
            module=name,
            to=self.to,
            version=version,
            slot=self.slot or None,
            per_device=bool(self.per_device),
            config=SlotConfig(
                input_topic=self.input_topic, output_topic=self.output_topic, uplink=self.uplink
            ),
            policy=read_policy(_text_of(self.policy), str(self.policy or ""), self.settings),
            seed=self.seed,
            reason=self.reason,
        )

    def arguments(self, seed: int) -> list[str]:
        """What is typed behind `shoal` to begin this, with the stages of a plan's seed."""
        options = {
            "--per-device": self.per_device, "--to": self.to, "--slot": self.slot,
            "--input-topic": self.input_topic, "--output-topic": self.output_topic,
            "--uplink": self.uplink, "--policy": str(self.policy or ""), "--seed": str(seed),
            "--reason": self.reason,
        }  # fmt: skip
        given = [part for name, value in options.items() if value for part in (name, value)]
        for setting in self.settings:
            given += ["--set", setting]
        return ["rollout", "start", *([self.module] if self.module else []), *given]


def _text_of(policy: Path | None) -> str:
    if policy is None:
        return ""
    from cloud_sync.cli.rollout_policy import MAX_FILE_BYTES
    from cloud_sync.errors import ConfigError

    try:
        with policy.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise ConfigError(
            f"policy {policy} cannot be read: {error.strerror}",
            hint="`shoal rollout policy > policy.toml` makes one with all defaults",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"policy {policy} is not UTF-8", hint="save it as UTF-8") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            f"policy {policy} expected at most {MAX_FILE_BYTES} bytes, found more",
            hint="name the policy's file",
        )
    return text
