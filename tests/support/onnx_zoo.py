"""Odd ONNX models for tests: the signatures that other people's files have."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto as T
from onnx import helper as h

IR = 10
OPSET = 20


def value(name: str, elem: int, shape: Sequence[int | str | None] | None) -> onnx.ValueInfoProto:
    """A graph input or output; a string is a named free dimension, None an unnamed one."""
    return h.make_tensor_value_info(name, elem, shape)


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    *,
    initializers: Sequence[onnx.TensorProto] = (),
    opsets: dict[str, int] | None = None,
    ir: int = IR,
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """A model; nothing of it is checked."""
    graph = h.make_graph(nodes, "zoo", inputs, outputs, list(initializers))
    imports = [h.make_opsetid(d, v) for d, v in (opsets or {"": OPSET}).items()]
    return h.make_model(graph, opset_imports=imports, ir_version=ir, functions=list(functions))


def save(proto: onnx.ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString())
    return path


def identity(
    elem: int = T.FLOAT,
    shape: Sequence[int | str | None] | None = ("N", 2),
    *,
    name: str = "x",
    out: str = "y",
    opset: int = OPSET,
    ir: int = IR,
    out_shape: Sequence[int | str | None] | bool | None = True,
) -> onnx.ModelProto:
    """Gives back what it gets."""
    return model(
        [h.make_node("Identity", [name], [out])],
        [value(name, elem, shape)],
        [value(out, elem, shape if out_shape is True else out_shape)],
        opsets={"": opset},
        ir=ir,
    )


def several_inputs() -> onnx.ModelProto:
    """Floats, a double, an int64, a string and a bool, each a tensor of its own."""
    names = ["features", "ratio", "count", "colour", "is_new"]
    elems = [T.FLOAT, T.DOUBLE, T.INT64, T.STRING, T.BOOL]
    shapes = [["N", 3], ["N", 1], ["N", 1], ["N", 1], ["N", 1]]
    return model(
        [h.make_node("Identity", [n], [f"{n}_out"]) for n in names],
        [value(n, e, s) for n, e, s in zip(names, elems, shapes, strict=True)],
        [value(f"{n}_out", e, s) for n, e, s in zip(names, elems, shapes, strict=True)],
    )


def tokens() -> onnx.ModelProto:
    """Token ids with a mask, both of free length: embeddings averaged."""
    table = h.make_tensor("table", T.FLOAT, [10, 4], [i / 10 for i in range(40)])
    axes = h.make_tensor("axes", T.INT64, [1], [1])
    return model(
        [
            h.make_node("Gather", ["table", "input_ids"], ["embedded"]),
            h.make_node("Cast", ["attention_mask"], ["mask"], to=T.FLOAT),
            h.make_node("Unsqueeze", ["mask", "minus_one"], ["mask3"]),
            h.make_node("Mul", ["embedded", "mask3"], ["masked"]),
            h.make_node("ReduceMean", ["masked", "axes"], ["pooled"], keepdims=0),
        ],
        [
            value("input_ids", T.INT64, ["batch", "sequence"]),
            value("attention_mask", T.INT64, ["batch", "sequence"]),
        ],
        [value("pooled", T.FLOAT, ["batch", 4])],
        initializers=[table, axes, h.make_tensor("minus_one", T.INT64, [1], [2])],
    )


def convolution(
    height: int | str = 8, width: int | str = 8, batch: int | str = "N"
) -> onnx.ModelProto:
    """A picture's mean after a convolution."""
    weights = h.make_tensor("w", T.FLOAT, [2, 3, 3, 3], [0.1] * 54)
    return model(
        [
            h.make_node("Conv", ["image", "w"], ["c"]),
            h.make_node("GlobalAveragePool", ["c"], ["p"]),
            h.make_node("Flatten", ["p"], ["scores"]),
        ],
        [value("image", T.FLOAT, [batch, 3, height, width])],
        [value("scores", T.FLOAT, [batch, 2])],
        initializers=[weights],
    )


def with_default() -> onnx.ModelProto:
    """An input with an initializer: callers may leave it out."""
    scale = h.make_tensor("scale", T.FLOAT, [1], [2.0])
    return model(
        [h.make_node("Mul", ["x", "scale"], ["y"])],
        [value("x", T.FLOAT, ["N", 2]), value("scale", T.FLOAT, [1])],
        [value("y", T.FLOAT, ["N", 2])],
        initializers=[scale],
    )


def no_inputs() -> onnx.ModelProto:
    tensor = h.make_tensor("t", T.FLOAT, [1], [2.0])
    return model([h.make_node("Constant", [], ["y"], value=tensor)], [], [value("y", T.FLOAT, [1])])


def zipmap(*, with_label: bool = True) -> onnx.ModelProto:
    """A classifier with its probabilities in a list of maps."""
    kind = h.make_sequence_type_proto(
        h.make_map_type_proto(T.INT64, h.make_tensor_type_proto(T.FLOAT, []))
    )
    outputs = [h.make_value_info("output_probability", kind)]
    nodes = [
        h.make_node(
            "ZipMap", ["x"], ["output_probability"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
        )
    ]
    if with_label:
        nodes.append(h.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0))
        outputs.insert(0, value("label", T.INT64, ["N"]))
    return model(
        nodes, [value("x", T.FLOAT, ["N", 2])], outputs, opsets={"": OPSET, "ai.onnx.ml": 3}
    )


def random_answers() -> onnx.ModelProto:
    return model(
        [
            h.make_node("RandomNormalLike", ["x"], ["r"]),
            h.make_node("Add", ["x", "r"], ["y"]),
        ],
        [value("x", T.FLOAT, ["N", 2])],
        [value("y", T.FLOAT, ["N", 2])],
    )


def foreign_operator(*, nested: bool = False) -> onnx.ModelProto:
    """An operator of a domain that nobody has, on the top level or inside a branch."""
    node = h.make_node("Secret", ["x"], ["y"], domain="com.example")
    x, y = value("x", T.FLOAT, ["N", 2]), value("y", T.FLOAT, ["N", 2])
    opsets = {"": OPSET, "com.example": 1}
    if not nested:
        return model([node], [x], [y], opsets=opsets)
    branch = h.make_graph([node], "then", [], [y])
    other = h.make_graph([h.make_node("Identity", ["x"], ["y"])], "else", [], [y])
    yes = h.make_tensor("yes", T.BOOL, [], [True])
    return model(
        [h.make_node("If", ["yes"], ["z"], then_branch=branch, else_branch=other)],
        [x],
        [value("z", T.FLOAT, ["N", 2])],
        initializers=[yes],
        opsets=opsets,
    )


def local_function() -> onnx.ModelProto:
    """An operator that the file itself defines."""
    function = h.make_function(
        "my.domain",
        "Double",
        ["a"],
        ["b"],
        [h.make_node("Add", ["a", "a"], ["b"])],
        [h.make_opsetid("", OPSET)],
    )
    return model(
        [h.make_node("Double", ["x"], ["y"], domain="my.domain")],
        [value("x", T.FLOAT, ["N", 2])],
        [value("y", T.FLOAT, ["N", 2])],
        opsets={"": OPSET, "my.domain": 1},
        functions=[function],
    )


def external_data() -> onnx.ModelProto:
    """A weight that stands in another file."""
    tensor = onnx.TensorProto(name="w", data_type=T.FLOAT, dims=[2])
    tensor.data_location = T.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return model(
        [h.make_node("Add", ["x", "w"], ["y"])],
        [value("x", T.FLOAT, ["N", 2])],
        [value("y", T.FLOAT, ["N", 2])],
        initializers=[tensor],
    )


def many_outputs(count: int) -> onnx.ModelProto:
    return model(
        [h.make_node("Identity", ["x"], [f"output_number_{i}"]) for i in range(count)],
        [value("x", T.FLOAT, ["N", 2])],
        [value(f"output_number_{i}", T.FLOAT, ["N", 2]) for i in range(count)],
    )
