"""Where on its devices a version goes, as it is typed: slot, topics, and whether as a shadow."""

from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

if TYPE_CHECKING:
    from edge_agent.contract.state import SlotConfig

Slot = Annotated[
    str, typer.Option("--slot", help="Where it runs; else the slot of the module's name.")
]
InputTopic = Annotated[
    str, typer.Option("--input-topic", metavar="FILTER", help="Instead of the module's own.")
]
OutputTopic = Annotated[
    str, typer.Option("--output-topic", metavar="TOPIC", help="Instead of the module's own.")
]
Uplink = Annotated[
    str, typer.Option("--uplink", metavar="RULE", help="all, changes, sample:FRACTION or none.")
]
Shadow = Annotated[
    bool, typer.Option("--shadow", help="Only compare its answers with those of a slot there.")
]
Of = Annotated[
    str, typer.Option("--of", metavar="SLOT", help="That slot; else the one of the module's name.")
]


class Placement(Struct, frozen=True, kw_only=True):
    """What was typed of it: an option a field."""

    slot: Slot = ""
    input_topic: InputTopic = ""
    output_topic: OutputTopic = ""
    uplink: Uplink = ""
    is_shadow: Shadow = False
    of: Of = ""

    def named_slot(self) -> str | None:
        """The slot that was named; None for the usual one.

        Raises:
            ContractError: it is no name.
        """
        from edge_agent.contract.names import check_name

        return check_name("slot", self.slot) if self.slot else None

    def shadows(self, module: str) -> str:
        """The slot that it is a shadow of; empty if it answers itself.

        Args:
            module: that goes there; empty if each device gets its own.

        Raises:
            typer.BadParameter: the options contradict each other.
            ContractError: it is no name.
        """
        if not self.is_shadow:
            if self.of:
                raise typer.BadParameter("--of says which slot is shadowed: it needs --shadow")
            return ""
        if self.input_topic or self.output_topic or self.uplink:
            raise typer.BadParameter(
                "a shadow gets what its slot gets and publishes nothing: "
                "leave --input-topic, --output-topic and --uplink out"
            )
        if not (self.of or module):
            raise typer.BadParameter("--shadow needs --of SLOT: each device gets another module")
        from edge_agent.contract.names import check_name

        return check_name("slot", self.of or module)

    def config(self) -> "SlotConfig":
        """What is changed about the module without a new version."""
        from edge_agent.contract.state import SlotConfig

        return SlotConfig(
            input_topic=self.input_topic, output_topic=self.output_topic, uplink=self.uplink
        )
