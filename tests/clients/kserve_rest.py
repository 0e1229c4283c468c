"""KServe's own client against a server: `python kserve_rest.py URL MODEL`; prints what it found.

The model is the linear one of the tests: score = a + 2b + 3c + bias.
"""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

ROWS = np.array([[1, 1, 1], [1, 0, 0]], np.float32)


async def main(url: str, model: str) -> dict[str, object]:
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
        found: dict[str, object] = {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model_ready": await client.is_model_ready(url, model),
            "other_model_ready": await client.is_model_ready(url, "nobody"),
        }
        for name, binary_in, binary_out in (
            ("json", False, False),
            ("binary", True, True),
            ("binary_in", True, False),
            ("binary_out", False, True),
        ):
            given = InferInput("X", list(ROWS.shape), "FP32")
            given.set_data_from_numpy(ROWS, binary_data=binary_in)
            asked = RequestedOutput("score", parameters={"binary_data": binary_out})
            request = InferRequest(model, [given], request_id=name, request_outputs=[asked])
            answer = await client.infer(url, request, model_name=model)
            found[name] = {"score": answer.outputs[0].as_numpy().tolist(), "id": answer.id}
        plain = {"inputs": [{"name": "X", "shape": [1, 3], "datatype": "FP32", "data": [1, 1, 1]}]}
        answer = await client.infer(url, plain, model_name=model)
        found["dict"] = answer.outputs[0].as_numpy().tolist()
        try:
            await client.infer(url, {"inputs": []}, model_name=model)
        except httpx.HTTPStatusError as error:
            found["error"] = [error.response.status_code, str(error)]
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
