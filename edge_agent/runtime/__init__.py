"""Models on this machine: sessions, codecs, bindings, and the worker process that runs a slot.

The runtime is handed file paths and URLs; it never looks for settings, state or the cloud.

One thing is done here, because it must be done before onnxruntime is first imported: from version
1.29 on, onnxruntime for Linux starts a thread when it is imported and reports what it runs to its
maker. A device of ours reports to nobody but its owner, and a process with threads must not fork.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
