"""The text of a `module.toml`, for people to read and change. Pure: a draft in, text out."""

import json
from collections.abc import Sequence
from typing import Final

from cloud_sync.authoring.draft import DEFAULT_MAX_BYTES, Draft
from edge_agent.contract.manifest import Field, Tensor
from edge_agent.contract.signature import TensorSpec

_WIDTH: Final = 96
_PIXELS: Final = 'layout = "CHW", scale = 0.00392156862745098'

_EMPTY: Final = """\
# One value of a message for each input of the model. Change it to your own, put the model beside
# this file, and run: shoal module build .
[[tensor]]
name = "X"                              # the input's name in the ONNX file
from = "fields"                         # or array, bytes, image, constant
fields = [
  { name = "temperature", unit = "C", min = -40, max = 125 },
  { name = "humidity", unit = "%", min = 0, max = 100 },
]
"""


def toml_string(value: str) -> str:
    """A TOML basic string: quoted, with everything escaped that must be."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def module_text(
    name: str, draft: Draft | None, *, model_file: str = "model.onnx", notes: Sequence[str] = ()
) -> str:
    """A complete `module.toml`.

    Args:
        name: of the module.
        draft: the binding; None for a scaffold that a person fills in.
        model_file: path of the ONNX file below the module's folder.
        notes: sentences for the top of the file.
    """
    lines = [f"# {note}" for note in notes]
    lines += [
        "[module]",
        f"name = {toml_string(name)}",
        'license = ""                            # of the model and its training data',
        'description = ""',
        "",
        "[model]",
        f"file = {toml_string(model_file)}",
    ]
    if draft is not None:
        lines += _list("outputs", [toml_string(output) for output in draft.outputs])
        for output, reason in draft.left_out.items():
            lines.append(f"# left out: output {toml_string(output)}, {reason}")
    lines += [
        "",
        "[input]",
        f'topic = "sensors/+/{name}"            # MQTT filter; {{device}} is allowed',
        'codec = "json"                          # or cbor, oip, octet-stream, image',
    ]
    if draft is not None and draft.max_bytes != DEFAULT_MAX_BYTES:
        lines.append(f"max_bytes = {draft.max_bytes}  # longest payload")
    lines.append("")
    if draft is None:
        lines += _EMPTY.splitlines()
    else:
        for spec, tensor in zip(draft.inputs, draft.tensors, strict=True):
            lines += _tensor(spec, tensor, draft.pictures.get(spec.name))
            if spec.name in draft.maybe_states:
                lines[-1:] = _maybe_state(draft.maybe_states[spec.name])
    lines += [
        "",
        "[output]",
        f'topic = "results/{{1}}/{name}"         # {{1}} is what the first + caught',
        'uplink = "none"                         # to the cloud: all, changes, sample:0.01, none',
        "",
        "[health]",
        'golden = "golden/*.json"                # sample messages with the outputs they must give',
        "tolerance = 1e-5",
        "",
    ]
    return "\n".join(lines)


def _tensor(spec: TensorSpec, tensor: Tensor, picture: tuple[int, int, int] | None) -> list[str]:
    dims = ", ".join(
        "N" if d < 0 and i == 0 else "?" if d < 0 else str(d) for i, d in enumerate(spec.shape)
    )
    lines = [
        "[[tensor]]",
        f"name = {toml_string(spec.name)}",
        f'from = "{tensor.source}"  # {spec.dtype} [{dims}]',
    ]
    if tensor.source == "state":
        lines.append(f"output = {toml_string(tensor.output)}  # fed back for the topic's next row")
    elif tensor.source == "fields":
        lines += _list("fields", [_field(item) for item in tensor.fields])
    else:
        lines.append(f"path = {toml_string(tensor.path)}  # a nested list; null is refused")
    if picture is not None:
        height, width, channels = picture
        mode = "L" if channels == 1 else "RGB"
        lines += [
            '# For JPEG or PNG payloads set codec = "image" above, and here, instead of the two',
            "# lines above, with the scale that the model was trained with:",
            '# from = "image"',
            f'# image = {{ width = {width}, height = {height}, channels = "{mode}", {_PIXELS} }}',
        ]
    return [*lines, ""]


def _maybe_state(output: str) -> list[str]:
    return [
        "# If this is the model's state, write here, instead of all but the name:",
        '# from = "state"',
        f"# output = {toml_string(output)}",
        "",
    ]


def _field(item: Field) -> str:
    if not item.path:
        return toml_string(item.name)
    return f"{{ name = {toml_string(item.name)}, path = {toml_string(item.path)} }}"


def _list(key: str, items: Sequence[str]) -> list[str]:
    """A TOML array on one line where it fits, and otherwise on as many as it needs."""
    one_line = f"{key} = [{', '.join(items)}]"
    if len(one_line) <= _WIDTH:
        return [one_line]
    lines, row = [f"{key} = ["], ""
    for item in items:
        if row and len(row) + len(item) + 4 > _WIDTH:
            lines.append(f"  {row.rstrip()}")
            row = ""
        row += f"{item}, "
    return [*lines, f"  {row.rstrip()}", "]"]
