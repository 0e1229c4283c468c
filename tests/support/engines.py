"""Engines around models that give back what they got, and ways to ask them."""

import io
import json
from typing import Any

from PIL import Image as Pillow

from edge_agent.contract.manifest import (
    Field,
    Input,
    Manifest,
    Tensor,
    Window,
    canonical,
    manifest_digest,
)
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.engine import Engine
from tests.support.models import fields, identity_model, manifest_of

TOPIC = "sensors/press/rows"


def load(manifest: Manifest, model: bytes, **options: Any) -> Engine:
    return Engine.load(
        canonical(manifest),
        manifest_digest(manifest),
        model,
        device="line-1",
        slot="probe",
        version=3,
        **options,
    )


def mirror(*pairs: tuple[TensorSpec, Tensor], **options: Any) -> Engine:
    """An engine whose model gives every input back as NAME_out."""
    specs = [spec for spec, _ in pairs]
    outputs = [TensorSpec(f"{s.name}_out", s.dtype, s.shape) for s in specs]
    model = identity_model(*specs)
    manifest = manifest_of(model, specs, outputs, [tensor for _, tensor in pairs], **options)
    return load(manifest, model)


def ask(engine: Engine, payload: object, topic: str = TOPIC) -> Any:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    answer = engine.answer(topic, data, 12.5)
    if answer is None:
        return None
    body = json.loads(answer.payload)
    assert answer.ok == ("outputs" in body)
    return body


def outputs(engine: Engine, payload: object, topic: str = TOPIC) -> Any:
    body = ask(engine, payload, topic)
    if body is None:
        return None
    assert "outputs" in body, body
    values = body["outputs"]
    return values["x_out"] if list(values) == ["x_out"] else values


def code(engine: Engine, payload: object) -> str:
    return str(ask(engine, payload)["error"]["code"])


def of_fields(dtype: str, shape: tuple[int, ...], *items: Field, **options: Any) -> Engine:
    spec = TensorSpec("x", dtype, shape)  # type: ignore[arg-type]
    return mirror((spec, Tensor(name="x", source="fields", fields=items)), **options)


def of_array(dtype: str, shape: tuple[int, ...], path: str = "", **options: Any) -> Engine:
    spec = TensorSpec("x", dtype, shape)  # type: ignore[arg-type]
    missing = options.pop("missing_values", "reject")
    tensor = Tensor(name="x", source="array", path=path, missing_values=missing)
    return mirror((spec, tensor), **options)


def of_bytes(dtype: str, shape: tuple[int, ...], missing: str = "reject") -> Engine:
    spec = TensorSpec("x", dtype, shape)  # type: ignore[arg-type]
    tensor = Tensor(name="x", source="bytes", missing_values=missing)  # type: ignore[arg-type]
    return mirror((spec, tensor), source=Input(topic="sensors/+/rows", codec="octet-stream"))


def picture(mode: str = "RGB", size: tuple[int, int] = (2, 1)) -> bytes:
    image = Pillow.new(mode, size)
    if mode == "RGB":
        image.putpixel((0, 0), (255, 128, 0))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def windowed(shape: tuple[int, ...], size: int, step: int) -> Engine:
    source = Input(topic="sensors/+/rows", window=Window(size=size, step=step))
    return of_fields("float32", shape, *fields("a", "b"), source=source)


def row(number: int) -> dict[str, int]:
    return {"a": number, "b": -number}
