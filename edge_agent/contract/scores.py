"""Scores: the numbers or labels of an answer whose distribution is watched, and their profile.

A profile says how the scores of a version were spread over bins on samples that its maker chose;
a worker counts into the same bins, and whoever judges the version compares. Pure.
"""

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from edge_agent.contract.signature import FLOATS, TensorSpec
from edge_agent.errors import ContractError

MOST_COLUMNS: Final = 8
"""Numbers of a row whose distributions are watched: the first ones."""

MOST_LABELS: Final = 32
"""Labels that have a bin of their own."""

Count = Annotated[int, Meta(ge=0)]


class ScoreBins(Struct, frozen=True, kw_only=True):
    """How the scores of one column are counted, and how those of the samples were spread.

    Numbers have one bin for each edge, of what is at most as large and larger than the edge
    before it, then one of what is larger than all. Labels have one each. Behind these comes one
    bin more, of what is no number, or a label that is not listed.

    Attributes:
        edges: upper bounds of numbers, rising; empty for labels.
        labels: each different; empty for numbers.
        counts: of the samples, by bin.
    """

    edges: Annotated[tuple[float, ...], Meta(max_length=64)] = ()
    labels: Annotated[tuple[bool | int | str, ...], Meta(max_length=MOST_LABELS)] = ()
    counts: Annotated[tuple[Count, ...], Meta(min_length=2, max_length=66)]

    @property
    def shares(self) -> tuple[float, ...]:
        """The same as parts of all of them, which are 1 together."""
        whole = sum(self.counts)
        return tuple(count / whole for count in self.counts)


class Profile(Struct, frozen=True, kw_only=True):
    """How the scores of a version were spread on samples.

    Attributes:
        output: of the model, that the scores are taken from.
        columns: the first numbers of a row of it; or one, of labels.
    """

    output: str
    columns: Annotated[tuple[ScoreBins, ...], Meta(min_length=1, max_length=MOST_COLUMNS)]

    @property
    def rows(self) -> int:
        """Of the model, that the samples gave."""
        return sum(self.columns[0].counts)

    @property
    def shares(self) -> tuple[float, ...]:
        """Of all columns, one behind the other, as `SlotHealth.scores` has its counts."""
        return tuple(share for column in self.columns for share in column.shares)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bins of each column."""
        return tuple(len(column.counts) for column in self.columns)

    def by_column(self, counts: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Counts of all columns, one behind the other, as those of each.

        Raises:
            ContractError: they are not of this profile.
        """
        if len(counts) != sum(self.sizes):
            raise ContractError(
                f"scores expected in {sum(self.sizes)} bins, found {len(counts)}",
                hint="they were counted by the profile of another version",
            )
        parts, start = [], 0
        for size in self.sizes:
            parts.append(tuple(counts[start : start + size]))
            start += size
        return tuple(parts)


def score_output(outputs: Sequence[TensorSpec]) -> int:
    """Which output the scores are taken from: the first of floats, else the first.

    Args:
        outputs: of a model, in order; at least one.
    """
    return next((at for at, spec in enumerate(outputs) if spec.dtype in FLOATS), 0)


def profile_problem(profile: Profile, outputs: Sequence[TensorSpec]) -> str:
    """What is wrong with a profile for a model of these outputs, one sentence; empty if nothing."""
    chosen = outputs[score_output(outputs)].name
    if profile.output != chosen:
        return f"the profile is of output {profile.output!r}, and scores are taken from {chosen!r}"
    for number, column in enumerate(profile.columns):
        if bool(column.edges) == bool(column.labels):
            return f"column {number} of the profile expected either edges or labels"
        bins = len(column.edges) + 2 if column.edges else len(column.labels) + 1
        if len(column.counts) != bins:
            return f"column {number} of the profile expected {bins} counts"
        if list(column.edges) != sorted(set(column.edges)):
            return f"column {number} of the profile expected rising edges"
        if len(set(column.labels)) != len(column.labels):
            return f"column {number} of the profile names a label twice"
        if sum(column.counts) != profile.rows or not profile.rows:
            return f"column {number} of the profile expected as many rows as the first, at least 1"
    return ""
