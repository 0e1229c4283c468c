"""NVIDIA's own client against a server: `python triton.py HOST:PORT MODEL`; prints what it found.

The model is the linear one of the tests: score = a + 2b + 3c + bias.
"""

import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

ROWS = np.array([[1, 1, 1], [1, 0, 0]], np.float32)


def main(address: str, model: str) -> dict[str, object]:
    client = triton.InferenceServerClient(address, concurrency=2)
    found: dict[str, object] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "model_ready_by_version": client.is_model_ready(model, "1"),
        "other_version_ready": client.is_model_ready(model, "99"),
        "other_model_ready": client.is_model_ready("nobody"),
        "server": client.get_server_metadata(),
        "metadata": client.get_model_metadata(model),
        "index": client.get_model_repository_index(),
    }
    for name, binary_in, binary_out, packing in (
        ("json", False, False, None),
        ("binary", True, True, None),
        ("binary_in", True, False, None),
        ("binary_out", False, True, None),
        ("gzip", True, True, "gzip"),
        ("deflate", False, False, "deflate"),
    ):
        given = triton.InferInput("X", list(ROWS.shape), "FP32")
        given.set_data_from_numpy(ROWS, binary_data=binary_in)
        asked = triton.InferRequestedOutput("score", binary_data=binary_out)
        answer = client.infer(
            model,
            [given],
            outputs=[asked],
            request_id=name,
            request_compression_algorithm=packing,
            response_compression_algorithm=packing,
        )
        found[name] = {
            "score": answer.as_numpy("score").tolist(),
            "id": answer.get_response()["id"],
        }
    default = triton.InferInput("X", list(ROWS.shape), "FP32")
    default.set_data_from_numpy(ROWS)
    found["defaults"] = client.infer(model, [default], model_version="1").as_numpy("score").tolist()
    waiting = [client.async_infer(model, [default]) for _ in range(10)]
    found["async"] = [answer.get_result().as_numpy("score").tolist() for answer in waiting]
    wrong = triton.InferInput("X", [1, 2], "FP32")
    wrong.set_data_from_numpy(np.zeros((1, 2), np.float32))
    found["errors"] = [
        _error(lambda: client.infer(model, [wrong])),
        _error(lambda: client.infer("nobody", [default])),
        _error(lambda: client.load_model(model)),
        _error(lambda: client.unload_model(model)),
    ]
    client.close()
    return found


def _error(call) -> list[str]:
    try:
        call()
    except InferenceServerException as error:
        return [str(error.status()), error.message()]
    return []


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
