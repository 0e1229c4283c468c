"""KServe with one ONNX model: `kserve_server.py MODEL_FILE PORT`, in KServe's environment."""

import sys

import kserve
import numpy as np
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse


class OnnxModel(kserve.Model):  # type: ignore[misc]  # is in its own environment
    def __init__(self, file: str) -> None:
        super().__init__("shuttle")
        self._file = file

    def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(self._file, options)
        self.ready = True
        return True

    def predict(self, payload: InferRequest, *_: object, **__: object) -> InferResponse:
        rows = payload.inputs[0].as_numpy()
        labels, scores = self._session.run(None, {"X": rows})
        outputs = []
        for name, array, kind in (("label", labels, "INT64"), ("probabilities", scores, "FP32")):
            output = InferOutput(name, list(array.shape), kind)
            output.set_data_from_numpy(np.asarray(array), binary_data=False)
            outputs.append(output)
        return InferResponse(payload.id or "", self.name, outputs)


if __name__ == "__main__":
    file, port = sys.argv[1:]
    model = OnnxModel(file)
    model.load()
    kserve.ModelServer(http_port=int(port), enable_grpc=False, workers=1).start([model])
