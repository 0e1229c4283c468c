"""Power cuts: starts a cutter for each way that ext4 may be mounted, and gathers what it found."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tests.faults.cutter import CutOrders
from tests.faults.image import released
from tests.faults.outcome import Outcome
from tests.faults.preload import build, environment
from tests.faults.walk import fast_folder, published
from tests.faults.walker import Form, Orders

OPTIONS: Final[tuple[tuple[str, ...], ...]] = ((), ("noauto_da_alloc",))
"""As usual; and without the help that ext4 gives to those who rename without a flush."""

CUTTING_S: Final = 3600.0


class Cuts(Struct, frozen=True):
    """What was found after each cut."""

    outcomes: tuple[Outcome, ...]

    @property
    def torn(self) -> int:
        """Cuts after which something was neither old nor new."""
        return sum(outcome.is_torn for outcome in self.outcomes)

    @property
    def max_recovery_s(self) -> float:
        """Longest start after a cut, seconds."""
        return max(outcome.recovery_s for outcome in self.outcomes)

    def complaints(self) -> list[str]:
        """What was wrong, a sentence each."""
        return [
            f"power cut before {outcome.point} ({outcome.scenario}): {text}"
            for outcome in self.outcomes
            for text in outcome.complaints
        ]


def cut_power(form: Form) -> Cuts:
    """Play the story on images and cut the power at calls all over it."""
    with fast_folder() as folder, released(folder), published() as (url, modules):
        library = build(folder)
        told = [
            CutOrders(
                orders=Orders(
                    library=str(library),
                    folder=str(folder / f"cutter-{share}"),
                    cloud_url=url,
                    modules=modules,
                    share=share,
                    shares=len(OPTIONS),
                    form=form,
                ),
                options=options,
            )
            for share, options in enumerate(OPTIONS)
        ]
        with ThreadPoolExecutor(len(OPTIONS)) as pool:
            lines = b"".join(pool.map(lambda orders: _cut(orders, library), told))
    return Cuts(tuple(msgspec.json.decode(line, type=Outcome) for line in lines.splitlines()))


def _cut(told: CutOrders, library: Path) -> bytes:
    Path(told.orders.folder).mkdir()
    command = [sys.executable, "-m", "tests.faults.cutter", msgspec.json.encode(told).decode()]
    done = subprocess.run(
        command,
        env=environment(library),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=CUTTING_S,
        check=False,
    )
    assert done.returncode == 0, f"a cutter ended with {done.returncode}: {done.stderr.decode()}"
    return done.stdout
