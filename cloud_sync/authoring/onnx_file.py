"""Reads an ONNX file and prints its facts. The child's half of `inspection`.

Run as `python -m cloud_sync.authoring.onnx_file FILE`; never imported by a process that must
live, because a crafted file can crash the libraries that read it. Prints one JSON line with the
facts as they stand in the file, and, when an output has no shape there, a second one with the
shapes that onnx infers. The last complete line counts.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from cloud_sync.authoring.facts import Kind, OnnxFacts, Port
from edge_agent.contract.limits import MAX_OPSETS, STANDARD_DOMAIN, canonical_domain
from edge_agent.contract.signature import DYNAMIC

EXIT_NOT_ONNX: Final = 3
MAX_OPERATORS_SHOWN: Final = 5

Proto = Any  # the classes that onnx generates at run time have no types

_KINDS: Final[dict[str | None, Kind]] = {
    "tensor_type": "tensor",
    "sequence_type": "sequence",
    "map_type": "map",
    "optional_type": "optional",
    "sparse_tensor_type": "sparse tensor",
}
_DTYPES: Final = {"FLOAT": "float32", "DOUBLE": "float64"}


class NotOnnx(Exception):
    """The bytes are no ONNX model; the text says why."""


def read_facts(model: Proto) -> OnnxFacts:
    """The facts of a parsed model.

    Args:
        model: an `onnx.ModelProto`.

    Raises:
        NotOnnx: it was parsed, but it is no model.
    """
    if model.ir_version < 1 or not model.HasField("graph"):
        raise NotOnnx("it has no IR version and no graph, so it is another kind of file")
    graph = model.graph
    if not graph.output:
        raise NotOnnx("its graph has no outputs")
    given = {tensor.name for tensor in graph.initializer}
    given |= {tensor.values.name for tensor in graph.sparse_initializer}
    nodes = [*_nodes(graph), *(n for f in model.functions for n in _nodes_of(f.node))]
    opsets, foreign = _operators(model, nodes)
    return OnnxFacts(
        ir_version=model.ir_version,
        opsets=opsets,
        foreign=foreign,
        inputs=tuple(_port(value) for value in graph.input if value.name not in given),
        outputs=tuple(_port(value) for value in graph.output),
        external=tuple(sorted(set(_external(graph, nodes)))),
        nodes=len(nodes),
        producer=f"{model.producer_name} {model.producer_version}".strip(),
    )


def _port(value: Proto) -> Port:
    which = value.type.WhichOneof("value")
    kind = _KINDS.get(which, "unknown")
    if kind != "tensor":
        return Port(name=value.name, kind=kind)
    tensor = value.type.tensor_type
    try:
        title = onnx.TensorProto.DataType.Name(tensor.elem_type)
    except ValueError:  # a number that this onnx does not know
        title = f"number {tensor.elem_type}"
    dtype = _DTYPES.get(title, title.lower())
    if not tensor.HasField("shape"):
        return Port(name=value.name, kind=kind, dtype=dtype)
    return Port(
        name=value.name,
        kind=kind,
        dtype=dtype,
        # Some exporters write a free dimension as a negative number.
        shape=tuple(
            max(d.dim_value, DYNAMIC) if d.HasField("dim_value") else DYNAMIC
            for d in tensor.shape.dim
        ),
        dims=tuple(d.dim_param for d in tensor.shape.dim),
    )


def _nodes(graph: Proto) -> Iterator[Proto]:
    return _nodes_of(graph.node)


def _nodes_of(nodes: Iterable[Proto]) -> Iterator[Proto]:
    """Nodes, and those of the graphs inside them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in _graphs(attribute):
                yield from _nodes(graph)


def _graphs(attribute: Proto) -> Iterator[Proto]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _operators(
    model: Proto, nodes: list[Proto]
) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    imports: dict[str, int] = {}
    for owner in (model, *model.functions):
        for entry in owner.opset_import:
            domain = canonical_domain(entry.domain)
            imports[domain] = max(imports.get(domain, 0), entry.version)
    # Functions that the file itself defines are expanded before they run: no foreign code.
    local = {(canonical_domain(f.domain), f.name) for f in model.functions}
    used: dict[str, set[str]] = {}
    for node in nodes:
        domain = canonical_domain(node.domain)
        if (domain, node.op_type) not in local:
            used.setdefault(domain, set()).add(node.op_type)
    # onnxruntime refuses a version it does not know even if no node uses it.
    opsets = {d: v for d, v in imports.items() if d in used or d in MAX_OPSETS}
    for domain in used:
        opsets.setdefault(domain, 0)
    opsets.setdefault(STANDARD_DOMAIN, 1)
    foreign = {
        domain: tuple(sorted(names)[:MAX_OPERATORS_SHOWN])
        for domain, names in sorted(used.items())
        if domain not in MAX_OPSETS
    }
    return opsets, foreign


def _external(graph: Proto, nodes: list[Proto]) -> Iterator[str]:
    graphs = [graph]
    for node in nodes:
        for attribute in node.attribute:
            graphs.extend(_graphs(attribute))
            tensors = [*attribute.tensors, attribute.t]
            for sparse in (*attribute.sparse_tensors, attribute.sparse_tensor):
                tensors += [sparse.values, sparse.indices]
            yield from (t.name or node.name for t in tensors if _is_external(t))
    for inner in graphs:
        for tensor in inner.initializer:
            if _is_external(tensor):
                yield tensor.name
        for sparse in inner.sparse_initializer:
            if _is_external(sparse.values) or _is_external(sparse.indices):
                yield sparse.values.name


def _is_external(tensor: Proto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data)


def _say(facts: OnnxFacts) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(facts) + b"\n")
    sys.stdout.buffer.flush()


def main(path: Path) -> int:
    """Print the facts of one file.

    Returns:
        0, or `EXIT_NOT_ONNX` with the reason on standard error.
    """
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
        facts = read_facts(model)
    except (DecodeError, NotOnnx, OSError) as error:
        reason = "it is damaged, cut short, or another kind of file"
        sys.stderr.write(reason if isinstance(error, DecodeError) else str(error))
        return EXIT_NOT_ONNX
    _say(facts)
    if any(port.kind == "tensor" and port.shape is None for port in facts.outputs):
        # May fail, hang or crash on odd graphs; the facts above have been said by then.
        _say(read_facts(onnx.shape_inference.infer_shapes(model)))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
