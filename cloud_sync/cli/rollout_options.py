"""What `shoal rollout plan` and `start` are asked alike, and the wish that they make of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from cloud_sync.cli.options import Reason
from cloud_sync.cli.placement import Placement

if TYPE_CHECKING:
    from cloud_sync.rollout_resources import RolloutWish

PerDevice = Annotated[
    str,
    typer.Option(
        "--per-device",
        metavar="PATTERN[/VERSION]",
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
    str | None,
    typer.Option("--stages", metavar="LIST", help="Devices, counted from the first: 1,10%,100%."),
]
Soak = Annotated[
    str | None, typer.Option("--soak", metavar="TIME", help="How long a full stage runs: 30m, 24h.")
]
OnError = Annotated[
    str | None,
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
    """What was typed, besides what goes out and where: an option a field."""

    per_device: PerDevice = ""
    policy: PolicyPath = None
    settings: Setting = None
    stages: Stages = None
    soak: Soak = None
    on_error: OnError = None
    approval: Approval = None
    seed: Seed = None
    reason: Reason = ""

    def wish(self, module: str, to: str, placed: Placement) -> "RolloutWish":
        """What the service is asked for.

        Args:
            module: `NAME[/VERSION]`; empty with `per_device`.
            to: a target expression.
            placed: where it goes there.

        Raises:
            typer.BadParameter: neither a module nor a pattern, or both, among others.
            InvalidInput: the name or the policy is malformed.
            ConfigError: the policy's file cannot be read.
        """
        from cloud_sync.cli.rollout_policy import read_policy
        from cloud_sync.client.versions import parse_ref
        from cloud_sync.rollout_resources import RolloutWish

        if bool(module) == bool(self.per_device):
            raise typer.BadParameter("expected MODULE or --per-device PATTERN, one of the two")
        if self.per_device and "{device}" not in self.per_device:
            raise typer.BadParameter("--per-device expected {device} in it: model-for-{device}")
        if self.per_device and not (placed.slot or placed.is_shadow):
            raise typer.BadParameter("--per-device needs --slot: all of these models go into it")
        name, version = parse_ref("module", module) if module else self._pattern()
        return RolloutWish(
            module=name,
            to=to,
            version=version,
            slot=placed.named_slot(),
            per_device=bool(self.per_device),
            shadows=placed.shadows(name if module else ""),
            config=placed.config(),
            policy=read_policy(_text_of(self.policy), str(self.policy or ""), self.all_settings()),
            seed=self.seed,
            reason=self.reason,
        )

    def _pattern(self) -> "tuple[str, int | None]":
        """The pattern of the modules, and their version, if one was typed."""
        pattern, slash, version = self.per_device.partition("/")
        if slash and not (version.isascii() and version.isdecimal() and 0 < int(version) < 2**31):
            raise typer.BadParameter(
                "--per-device expected PATTERN or PATTERN/VERSION with a version from 1 up, "
                f"found {self.per_device!r}"
            )
        return pattern, int(version) if slash else None

    def all_settings(self) -> tuple[str, ...]:
        """`KEY=VALUE` of the policy, in the order in which they count."""
        from cloud_sync.cli.rollout_policy import settings_of

        given = {
            "stages": self.stages, "soak_s": self.soak, "on_error": self.on_error,
            "approval": self.approval,
        }  # fmt: skip
        return (*(self.settings or ()), *settings_of(given))

    def arguments(self, module: str, to: str, placed: Placement, seed: int) -> list[str]:
        """What is typed behind `shoal` to begin this, with the stages of a plan's seed."""
        options = {
            "--per-device": self.per_device, "--to": to, "--slot": placed.slot,
            "--input-topic": placed.input_topic, "--output-topic": placed.output_topic,
            "--uplink": placed.uplink, "--of": placed.of, "--policy": str(self.policy or ""),
            "--seed": str(seed), "--reason": self.reason,
        }  # fmt: skip
        given = [part for name, value in options.items() if value for part in (name, value)]
        given += ["--shadow"] * placed.is_shadow
        for setting in self.all_settings():
            given += ["--set", setting]
        return ["rollout", "start", *([module] if module else []), *given]


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
