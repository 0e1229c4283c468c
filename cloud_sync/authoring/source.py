"""The source of a module: `module.toml` as a person wrote it, read and typed.

Reads one file. It never looks at the model: whether the binding fits it is the build's question.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from cloud_sync.errors import ModuleError
from edge_agent.contract.manifest import (
    Field,
    Image,
    Input,
    Output,
    Runtime,
    Tensor,
    Trial,
)
from edge_agent.contract.names import NAME_PATTERN
from edge_agent.contract.providers import check_provider
from edge_agent.contract.toml import read_toml
from edge_agent.contract.toml_lines import Path as TomlPath
from edge_agent.contract.toml_lines import key_lines
from edge_agent.errors import ContractError

SOURCE_FILE: Final = "module.toml"
MAX_SOURCE_BYTES: Final = 4 * 2**20


class ModuleTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[module]`: what it is called and who may use it.

    Attributes:
        name: of the module in the registry: 1-63 characters of a-z, 0-9 and '-'.
        license: under which the model may be used, as an SPDX identifier where there is one.
        description: one line for people.
    """

    name: Annotated[
        str, Meta(pattern=NAME_PATTERN, description="1-63 characters of a-z, 0-9 and '-'")
    ]
    license: str = ""
    description: str = ""


class ModelTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[model]`: where the ONNX file comes from.

    Attributes:
        file: path below the module's folder; with `registry`, the name of one of its files.
        registry: `name/version` of a registered model, instead of a file of the folder.
        outputs: those that are computed, in the order in which they are published; empty for
            every output that is a tensor.
    """

    file: str = ""
    registry: str = ""
    outputs: tuple[str, ...] = ()


class TensorTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tensor]]`: how one input of the model is filled. A field may be its bare name.

    Attributes:
        name: of the model's input.
        source: "fields": named values, in order, one row; "array": the nested list at `path`;
            "bytes": the raw payload; "image": a JPEG or PNG; "constant": `value`, always;
            "state": what `output` was for the source topic's previous row.
        fields: for "fields"; see `tensor.fields` below.
        path: for "array": where the list stands, levels joined by '.'; the whole message if empty.
        value: for "constant"; for "state" what a source topic begins with, zeros if left out.
        image: for "image"; see `tensor.image` below.
        output: for "state": the model's output that is fed back; it need not be published.
        missing_values: whether NaN and infinities are let through in "array" and "bytes".
    """

    name: str
    source: Literal["fields", "array", "bytes", "image", "constant", "state"] = field(name="from")
    fields: tuple[str | Field, ...] = ()
    path: str = ""
    value: bool | int | float | str | list[object] | None = None
    image: Image | None = None
    output: str = ""
    missing_values: Literal["reject", "allow"] = "reject"

    def tensor(self) -> Tensor:
        """The manifest's form."""
        fields = tuple(Field(name=f) if isinstance(f, str) else f for f in self.fields)
        return Tensor(
            name=self.name,
            source=self.source,
            fields=fields,
            path=self.path,
            value=self.value,
            image=self.image,
            output=self.output,
            missing_values=self.missing_values,
        )


class HealthTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[health]`: as in the manifest, but golden files are found by a pattern.

    Attributes:
        golden: glob below the module's folder; empty for a module without golden cases.
        tolerance: largest difference of any number in any output, absolute plus relative.
        max_p99_ms: slowest 99th percentile of one run in the trial; 0 is no bound.
        trial: see `health.trial` below.
    """

    golden: str = "golden/*.json"
    tolerance: Annotated[float, Meta(ge=0)] = 1e-5
    max_p99_ms: Annotated[float, Meta(ge=0)] = 0.0
    trial: Trial = Trial()


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole `module.toml`."""

    module: ModuleTable
    model: ModelTable
    input: Input
    output: Output
    tensor: tuple[TensorTable, ...] = ()
    runtime: Runtime = Runtime()
    health: HealthTable = HealthTable()
    metrics: dict[str, float] = {}


class SourceFile(Struct, frozen=True):
    """A `module.toml` with the places of its keys.

    Attributes:
        name: of the file, for errors.
        source: what it says.
        lines: path of each key to its line.
    """

    name: str
    source: Source
    lines: dict[TomlPath, int]

    def where(self, *path: str | int) -> str:
        """The file and line of a key, or of the nearest thing around it that has a line."""
        while path:
            if path in self.lines:
                return f"{self.name} line {self.lines[path]}"
            path = path[:-1]
        return self.name


def read_source(folder: Path) -> SourceFile:
    """Read a module's `module.toml`.

    Args:
        folder: the module's folder.

    Raises:
        ModuleError: no such folder or file, not TOML (line and column), an unknown key (line and
            the closest known one), or a value of the wrong type (line, expected, found).
    """
    path = folder / SOURCE_FILE
    if not folder.is_dir():
        raise ModuleError(
            f"module folder expected at {folder}, found "
            f"{'a file' if folder.exists() else 'nothing'}",
            hint="name the folder that holds module.toml",
            code="module_missing",
        )
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ModuleError(
            f"{path} is missing",
            hint="shoal module init makes one, also from an ONNX file",
            code="module_missing",
        ) from error
    except OSError as error:
        raise ModuleError(
            f"{path} cannot be read: {error.strerror}",
            hint="check the name of the folder and the permissions of the file",
        ) from error
    return parse_source(data, str(path))


def parse_source(data: bytes, name: str) -> SourceFile:
    """Read the text of a `module.toml`.

    Args:
        data: the file's bytes.
        name: the file's name, for errors.

    Raises:
        ModuleError: as `read_source`, but for files.
    """
    if len(data) > MAX_SOURCE_BYTES:
        raise ModuleError(
            f"{name}: expected at most {MAX_SOURCE_BYTES} bytes, found {len(data)}",
            hint="name data in files of their own, and not in this one",
        )
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ModuleError(
            f"{name} line {line}: not UTF-8 at byte {error.start}",
            hint="save the file as UTF-8",
        ) from error
    source = read_toml(text, Source, source=name, error=ModuleError)
    file = SourceFile(name, source, key_lines(text))
    if not source.model.file and not source.model.registry:
        raise ModuleError(
            f"{file.where('model')}: [model] needs the key 'file' or the key 'registry'",
            hint='for example file = "model.onnx"',
        )
    try:
        for provider in source.runtime.providers:
            check_provider(provider)
    except ContractError as error:
        place = file.where("runtime", "providers")
        raise ModuleError(f"{place}: {error.text}", hint=error.hint, code=error.code) from error
    return file
