"""The profile of a module's scores, made from messages that a person gives.

Runs the model in a throw-away process on all of them, as a device would that heard them one
behind the other. Writes one file of the folder, measured.json, and keeps what else stands there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from cloud_sync.authoring.build import FetchModel, assemble
from cloud_sync.authoring.golden_samples import observed_payloads
from cloud_sync.authoring.measured import (
    MEASURED_FILE,
    Measured,
    read_measured,
    write_measured,
)
from cloud_sync.authoring.observed import read_observed
from cloud_sync.authoring.rehearsal import rehearse
from cloud_sync.errors import ModuleError
from edge_agent.contract.scores import Profile

MOST_MESSAGES: Final = 10_000


class MadeProfile(Struct, frozen=True, kw_only=True):
    """What was written.

    Attributes:
        file: measured.json of the folder.
        profile: how the scores were spread.
        warnings: which messages are not in it and why, one sentence each.
    """

    file: Path
    profile: Profile
    warnings: tuple[str, ...] = ()


def renew_profile(
    folder: Path,
    sample: Path,
    *,
    fetch_model: FetchModel | None = None,
    progress: Callable[[str], None] | None = None,
) -> MadeProfile:
    """Make the profile of a module's scores anew.

    Args:
        folder: of the module.
        sample: messages as they are typical for it, JSON or CSV; the first 10,000 are used.
        fetch_model: needed only for modules whose [model] names a registered one.
        progress: told about each step.

    Raises:
        ModuleError, Unsupported: the folder does not build, the sample cannot be read, or gives
            too few answers (`profile_impossible`).
        ModelError: the model does not load, or crashes.
    """
    observed = read_observed(sample, most=MOST_MESSAGES)
    module = assemble(folder, fetch_model=fetch_model, progress=progress)
    payloads = observed_payloads(module, observed)
    if progress is not None:
        progress(f"running the model on {len(payloads)} messages")
    rehearsal = rehearse(module.manifest, module.model_file, stream=payloads)
    profile = rehearsal.profile
    if profile is None:
        raise ModuleError(
            "the process that ran the model gave no profile",
            hint="report it: this is a fault of shoal",
            code="profile_impossible",
        )
    digest = module.manifest.model.blob.digest
    measured = read_measured(folder, digest) or Measured(model=digest)
    write_measured(folder, msgspec.structs.replace(measured, profile=profile))
    refused = rehearsal.refusals
    warnings = [*observed.notes, *((refused,) if refused else ())]
    return MadeProfile(file=folder / MEASURED_FILE, profile=profile, warnings=tuple(warnings))
