"""What this version runs: the newest operator sets and file formats, and the domains it accepts.

Measured with onnxruntime 1.31, which is what devices install. A model beyond these limits is
refused when its module is built, not on the device. Pure: constants and a comparison, no I/O.
"""

from collections.abc import Iterator, Mapping
from typing import Final

MAX_IR: Final = 13
"""Newest version of the ONNX file format; onnxruntime refuses 14."""

STANDARD_DOMAIN: Final = ""
"""How ONNX writes `ai.onnx` in a file."""

MAX_OPSETS: Final[Mapping[str, int]] = {STANDARD_DOMAIN: 26, "ai.onnx.ml": 5, "com.microsoft": 1}
"""Operator set domain to its newest version that is run.

`com.microsoft` holds onnxruntime's own operators, which its quantizer and its graph optimizer
write into ordinary models. They are part of the same library (no foreign code is loaded), but
ONNX gives no promise about them across versions: the golden cases, run on each device before a
module goes live, are what catches a change.
"""

MAX_MODEL_BYTES: Final = 2 * 2**30 - 1
"""An ONNX file is one protobuf message, and these end at 2 GiB."""

MAX_GOLDEN_FILES: Final = 256
MAX_GOLDEN_BYTES: Final = 16 * 2**20
"""Golden cases travel to every device: samples, not test sets."""

MAX_TENSORS: Final = 1024
"""Inputs, and outputs, of one model."""


def canonical_domain(domain: str) -> str:
    """The one spelling of an operator set domain: `ai.onnx` is the empty string."""
    return STANDARD_DOMAIN if domain == "ai.onnx" else domain


def domain_title(domain: str) -> str:
    """A domain as people know it."""
    return domain or "ai.onnx"


def limit_problems(ir_version: int, opsets: Mapping[str, int]) -> Iterator[str]:
    """What of a model's format is newer than this version runs, or not run at all.

    Args:
        ir_version: of the ONNX file.
        opsets: operator set domain to version, of every domain that the model uses.
    """
    if not 1 <= ir_version <= MAX_IR:
        yield f"ONNX IR version expected 1 to {MAX_IR}, found {ir_version}"
    for domain, version in sorted(opsets.items()):
        newest = MAX_OPSETS.get(canonical_domain(domain))
        if newest is None:
            known = ", ".join(domain_title(name) for name in MAX_OPSETS)
            yield f"operators expected of the domains {known}; found domain {domain!r}"
        elif not 1 <= version <= newest:
            title = domain_title(canonical_domain(domain))
            yield f"opset of {title} expected 1 to {newest}, found {version}"
