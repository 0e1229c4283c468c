"""What to do about a stable code, in words. Pure: a table, for the device and for the cloud alike.

Every code that a step, or a worker's process, can fail with has an entry: a test collects them from
the source. Must never hold what only one slot's error can say; that stands in the error's text.
"""

from typing import Final

_SPACE: Final = "Free some space on the device's disk; it goes on by itself."
_AGAIN: Final = "Nothing, once: it is tried again by itself. If it comes back, check the device's "
_DISK: Final = (
    f"{_AGAIN}disk (kernel log, SD card) and what else uses agent.state_dir; "
    "`edge-agent check` looks at it."
)
_WAY: Final = (
    "Check cloud.url in the device's agent.toml and the network to it: `edge-agent check` says "
    "which part of the way is broken."
)
_BYTES: Final = (
    "The bytes that arrive are not those that were published: look for a proxy that changes them; "
    "if other devices have it, too, publish the module again."
)
_MODULE: Final = (
    "The module itself is at fault: correct it, prove it with `shoal module check`, publish it and "
    "deploy the new version."
)
_NOT_HERE: Final = (
    "The module needs what this device or its agent does not have: update the agent, deploy a "
    "version that is made for it, or take this device out of the deployment."
)
_GOLDEN: Final = (
    "The model does not compute on this device what its golden cases say: run `shoal module check` "
    "where it was built; if it passes there, look at hardware.providers and what the status says "
    "that it runs on, or allow a larger health.tolerance."
)
_MODEL_ENDS: Final = (
    "The model ends its process: look at the agent's log around it, try another version, or "
    "another provider in [hardware]. A worker that had answered is started again at once, others "
    "with growing pauses."
)
_MEMORY: Final = (
    "The model needs more memory than it may have: raise [runtime] memory_mb of the module, use a "
    "smaller model or max_batch, or free memory on the device."
)
_SLOW: Final = (
    "The model is too slow on this device: allow it more ([health] max_p99_ms, [runtime] "
    "run_timeout_ms), look whether the device is overloaded, or deploy a smaller model."
)
_START: Final = (
    f"{_AGAIN}memory, processes and file descriptors, and the agent's log; `edge-agent check` "
    "tries onnxruntime."
)
_DEFECT: Final = (
    "This is a fault of the agent: restart it, and report it with what `edge-agent bundle` writes."
)
_LIVE: Final = (
    "It passed its golden cases and failed on live messages: compare those of its input "
    "topic with its golden cases, correct the module, publish and deploy it."
)
_SET: Final = "Correct the device's agent.toml (the error names the key) and restart the agent."
_BROKER: Final = (
    "Check the broker's address, user, password and certificate in the device's agent.toml: "
    "`edge-agent check` connects to it."
)

WHAT_TO_DO: Final[dict[str, str]] = {
    # The way to the cloud.
    "bad_range": f"{_AGAIN}way to the cloud for a proxy that changes answers.",
    "blob_missing": "The service has lost a file of this version: publish the module again.",
    "certificate_expired": "Renew the certificate that the error names, unless this device's clock "
    "is wrong: `edge-agent check` says what it shows.",
    "certificate_not_yet_valid": "Set the device's clock, or run an NTP client: `edge-agent check` "
    "says what it shows.",
    "certificate_unreadable": "Check ca_file, cert_file and key_file in the device's agent.toml: "
    "`edge-agent check` says which cannot be used, and why.",
    "cloud_refused": "Check cloud.url, and the service's log for the refusal.",
    "cloud_unreachable": _WAY,
    "download_stalled": f"{_AGAIN}network: a download went silent (cloud.stall_s).",
    "download_too_slow": f"{_AGAIN}network, and cloud.max_download_kb_s: it is continued where it "
    "ended.",
    "key_mismatch": _SET,
    "server_busy": "Nothing: the service asked to be left alone for a while, and is asked again.",
    "unavailable": _WAY,
    # Bytes.
    "blob_damaged": "Nothing, once: the file is fetched again. If it comes back, the device's disk "
    "changes bytes: replace it.",
    "blob_too_large": _BYTES,
    "digest_mismatch": _BYTES,
    "integrity": _BYTES,
    "not_found": f"{_AGAIN}disk: a file that was installed is gone, and is fetched again.",
    "truncated": "Nothing: the connection ended early, and the rest is fetched by itself.",
    "unreadable": "Nothing, once: the file is fetched again. If it comes back, check who else "
    "changes agent.state_dir, and the disk.",
    # The disk.
    "database_damaged": _DISK,
    "disk_full": _SPACE,
    "disk_low": _SPACE,
    "not_writable": "Give the agent's user the right to write agent.state_dir, and look whether "
    "its disk is mounted read-only; it goes on by itself.",
    "region_unusable": _START,
    "schema_newer": "Install the newer agent again: this older one would lose what it wrote.",
    "storage": _DISK,
    # The module.
    "bad_transition": _DEFECT,
    "codec_missing": _NOT_HERE,
    "config_invalid": "Correct the deployment's configuration of this slot, or the module's "
    "binding, and deploy again.",
    "contract_invalid": _MODULE,
    "digest_invalid": _MODULE,
    "external_data": "Put the weights into the model's file: `shoal module check` names what lies "
    "outside. Publish it and deploy the new version.",
    "golden_invalid": _MODULE,
    "input_unsupported": _NOT_HERE,
    "invalid_input": _MODULE,
    "ir_unsupported": _NOT_HERE,
    "manifest_invalid": _MODULE,
    "misfit": _MODULE,
    "name_invalid": _MODULE,
    "not_onnx": _MODULE,
    "output_unsupported": _MODULE,
    "provider_option_invalid": _SET,
    "provider_unknown": "Correct [runtime] providers of the module or [hardware] providers of the "
    "device: no release of onnxruntime has that provider.",
    "shadow_misfit": "Deploy the slot that it should shadow, with the same outputs, or remove the "
    "shadow.",
    "signature_mismatch": _MODULE,
    "too_large": _MODULE,
    "unsupported": _NOT_HERE,
    "version_newer": "Update the agent on this device: the module was made for a newer one.",
    "wrong_module": "Deploy the module again: another one's manifest came under its name.",
    # The model, on this device.
    "crashed": _MODEL_ENDS,
    "golden_failed": _GOLDEN,
    "golden_refused": _GOLDEN,
    "load_timeout": _SLOW,
    "model_failed": _LIVE,
    "opset_unsupported": _NOT_HERE,
    "operator_unsupported": _NOT_HERE,
    "out_of_memory": _MEMORY,
    "poison": "A message ended process after process and is refused now: look for it in the "
    "agent's log, and correct the module.",
    "result_too_large": "The model's answer is larger than a message may be: leave outputs out "
    "([model] outputs).",
    "run_timeout": _SLOW,
    "runtime_broken": "On this device onnxruntime does not work: `edge-agent check` says why; "
    "install the shoal package again, for this processor.",
    "state_not_a_number": _LIVE,
    "state_shape": _MODULE,
    "timeout": _SLOW,
    "too_slow": _SLOW,
    "trial_timeout": _SLOW,
    # The trial on live messages.
    "agent_restarted": "The agent was restarted again and again during the trial: look at its log "
    "and at the device's power; if the version is not to blame, have it tried once more.",
    "trial_errors": _LIVE,
    "worker_crashed": _MODEL_ENDS,
    # The worker's process.
    "broker_refused": _BROKER,
    "broker_unreachable": _BROKER,
    "broker_url_invalid": _SET,
    "address_invalid": _SET,
    "conflict": "Something else has to change first: the error says what.",
    "error": _DEFECT,
    "internal": _DEFECT,
    "launch_failed": _START,
    "launch_timeout": _START,
    "launcher_closed": "Nothing: the agent was being stopped; it is tried again at its next start.",
    "probe_timeout": _START,
    "shadow_deaf": _START,
    "spawn_failed": _START,
    "spec_invalid": "Restart the agent: it and its workers are of two releases.",
    "update_locked": "A program on the device asked for no update now. It goes on when that lock "
    "ends, and at the latest when an update may be put off no longer; `edge-agent unlock` on the "
    "device ends the lock now.",
    "superseded": "Nothing: something else is wanted by now.",
    "tls_invalid": _SET,
    "topic_mismatch": "Correct the topics of the module, or of the deployment's configuration, and "
    "deploy again.",
    "worker_cut_off": _BROKER,
    "worker_failed": _MODEL_ENDS,
    "worker_failing": _LIVE,
    "worker_hung": "The model did not come back from a run and its process was ended: look at the "
    "message that it ran, correct the module, or set a shorter [runtime] run_timeout_ms.",
}

UNKNOWN: Final = (
    "The error says what stood in the way; `edge-agent check` on the device looks for the usual "
    "causes."
)
"""For the code of an agent that is newer than who reads it."""


def what_to_do(code: str) -> str:
    """Sentences for people about a stable code; general ones for a code that is not known."""
    return WHAT_TO_DO.get(code, UNKNOWN)
