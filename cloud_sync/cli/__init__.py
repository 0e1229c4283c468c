"""`shoal`: the command line for people and scripts.

Knows the service only through the SDK. Heavy imports (httpx, rich, onnx) happen inside the
commands that need them, so that `--help` and shell completion stay quick.
"""
