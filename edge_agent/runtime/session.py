"""One ONNX model in onnxruntime: loaded on the providers that are wanted, run, ended in time.

It opens bytes that the caller has hashed and never reads a file: a model that points to files
beside it is refused. When a provider fails, the CPU takes over and `notes` says so: onnxruntime's
own way is a line on standard output.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from edge_agent.contract.providers import CPU as CPU_PROVIDER
from edge_agent.contract.providers import fallback_note, short_name
from edge_agent.errors import ModelError
from edge_agent.runtime.onnx_failures import first_line, is_about_the_feed, load_error, run_error
from edge_agent.runtime.onnx_signature import input_spec, output_specs
from edge_agent.runtime.provider_options import options_of

CPU: Final = (CPU_PROVIDER,)

Array = np.ndarray[Any, np.dtype[Any]]  # Any: shape and dtype differ from model to model
Feed = dict[str, Array]
Options = Mapping[str, Mapping[str, str]]
Run = Callable[[Sequence[str], Feed, ort.RunOptions], list[Array]]
Opener = Callable[[bytes, Sequence[str], Options, int], ort.InferenceSession]

_SILENT: Final = 4
_now: Final = time.monotonic


class ModelSession:
    """A loaded model.

    Args:
        model: the bytes of the ONNX file.
        providers: execution providers of onnxruntime, in order of preference.
        options: of these, by their names; they win over ours.
        threads: of one run.
        opener: how onnxruntime is asked for a session.

    Attributes:
        inputs: what must be fed, in the graph's order.
        outputs: what can be computed, in the graph's order; tensors only.
        unsupported_outputs: output name to the reason why it is none of these.
        providers: that have a part of the model, in order of preference.
        threads: of one run.
        notes: which providers were wanted and are not used, and why, one sentence each.
        on_fall_back: told such a sentence when a provider fails in a run; called by whoever runs.

    Raises:
        Unsupported: the model can never run here: `not_onnx`, `opset_unsupported`,
            `ir_unsupported`, `external_data`, `operator_unsupported` or `input_unsupported`.
        ModelError: it did not load for another reason: `out_of_memory` or `model_failed`.
    """

    def __init__(
        self,
        model: bytes,
        *,
        providers: Sequence[str] = CPU,
        options: Options | None = None,
        threads: int = 1,
        opener: Opener | None = None,
    ) -> None:
        self.threads = threads
        self.notes: tuple[str, ...] = ()
        self.on_fall_back: Callable[[str], None] | None = None
        wanted = [name for name in providers if name != CPU_PROVIDER]
        # Kept while the CPU may have to take over; on the CPU, onnxruntime's own copy is enough.
        self._model = model if wanted else None
        self._spare: ort.InferenceSession | None = None
        self._open = opener or open_on
        self._run_options = _run_options()
        self._began_s = 0.0
        self._is_ended = False
        session, refusals = self._open_on_first(model, wanted, options or {})
        self.inputs = tuple(input_spec(arg) for arg in session.get_inputs())
        self.outputs, self.unsupported_outputs = output_specs(session.get_outputs())
        self._use(session)
        self._note_what_is_missing(wanted, refusals)

    def run(self, output_names: Sequence[str], feed: Feed) -> list[Array]:
        """Compute some outputs.

        Args:
            output_names: what to compute; nothing else is.
            feed: array by input name, for every input, of its dtype and shape.

        Returns:
            One array an output, in the order of `output_names`.

        Raises:
            ModelError: `out_of_memory`, `run_timeout` if it was ended by `terminate`, or
                `model_failed` with onnxruntime's own words.
        """
        self._began_s = _now()
        try:
            return self._run(output_names, feed, self._run_options)
        except Exception as error:  # onnxruntime's exceptions have no root of their own
            if self._is_ended:
                raise ModelError(
                    f"the run was ended after {_now() - self._began_s:.3f} s",
                    code="run_timeout",
                    hint="raise runtime.run_timeout_ms, or use a smaller model on this machine",
                ) from error
            outputs = self._run_on_cpu(output_names, feed, error)
            if outputs is None:
                raise run_error(error) from error
            return outputs
        finally:
            self._began_s = 0.0
            if self._is_ended:
                # Also when the run was done before it saw that it should end.
                self._run_options = _run_options()
                self._is_ended = False

    @property
    def began_s(self) -> float:
        """When the run that is under way began, seconds, monotonic; 0 between two runs."""
        return self._began_s

    def terminate(self, began_s: float) -> None:
        """End the run that began then; may be called on any thread. Does not wait for its end.

        onnxruntime looks between two nodes and in loops: what hangs inside one node goes on.
        """
        if began_s and self._began_s == began_s:
            self._is_ended = True
            self._run_options.terminate = True

    def _use(self, session: ort.InferenceSession) -> None:
        self.providers = _used(session)
        # onnxruntime's own class keeps the model's bytes for ever, and checks the feed's names
        # again at each run, a quarter of the time of a small model. Both are details of it that
        # may go; then its public way is used.
        if hasattr(session, "_model_bytes"):
            session._model_bytes = None  # noqa: SLF001
        self._session = session
        self._run: Run = getattr(session, "_sess", session).run

    def _open_on_first(
        self, model: bytes, wanted: Sequence[str], options: Options
    ) -> tuple[ort.InferenceSession, dict[str, str]]:
        """Load on all that is wanted, else without the first ..., else on the CPU alone.

        Returns:
            The session, and by provider why it was given up.
        """
        refusals: dict[str, str] = {}
        for index, name in enumerate(wanted):
            try:
                providers = [*wanted[index:], CPU_PROVIDER]
                return self._open(model, providers, options, self.threads), refusals
            except Exception as error:  # noqa: BLE001 -- onnxruntime's have no root of their own
                refusals[name] = f"it did not load the model: {first_line(error)}"
        try:
            return self._open(model, CPU, {}, self.threads), refusals
        except Exception as error:  # onnxruntime's exceptions have no root of their own
            raise load_error(error) from error

    def _note_what_is_missing(self, wanted: Sequence[str], refusals: Mapping[str, str]) -> None:
        used = self.providers[0]
        for name in wanted:
            if name == used:
                return
            reason = refusals.get(name, "onnxruntime gave it no part of this model")
            self.notes += (fallback_note(name, reason, short_name(used)),)

    def _run_on_cpu(
        self, output_names: Sequence[str], feed: Feed, error: Exception
    ) -> list[Array] | None:
        """Try the CPU with what another provider failed on; None if that is no help.

        What the CPU can answer was the provider's fault: from then on the CPU has the model.
        """
        if self._model is None or is_about_the_feed(error):
            return None
        try:
            if self._spare is None:
                self._spare = self._open(self._model, CPU, {}, self.threads)
            outputs: list[Array] = self._spare.run(output_names, feed)
        except Exception:  # noqa: BLE001 -- no root of their own; the first error is the one to tell
            return None
        note = fallback_note(self.providers[0], f"a run failed: {first_line(error)}", "cpu")
        self._use(self._spare)
        self._model = self._spare = None
        self.notes += (note,)
        if self.on_fall_back is not None:
            self.on_fall_back(note)
        return outputs


def open_on(
    model: bytes, providers: Sequence[str], own: Options, threads: int
) -> ort.InferenceSession:
    """Ask onnxruntime for a session that makes no noise, spins no processor and keeps no arena.

    Args:
        model: bytes of the ONNX file.
        providers: in order of preference.
        own: the device owner's options by provider.
        threads: of one run.

    Raises:
        Exception: onnxruntime's own, see `onnx_failures`.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    # A spinning pool burns a core between two messages.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if len(providers) > 1:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    # Everything that is logged while loading comes back as the exception.
    ort.set_default_logger_severity(_SILENT)
    options.log_severity_level = _SILENT
    # A provider that is not offered would be left out with a warning; it is missed in `_used`.
    offered = [name for name in providers if name in ort.get_available_providers()]
    told = [(name, options_of(name, threads, own.get(name, {}))) for name in offered]
    return ort.InferenceSession(model, options, providers=told, enable_fallback=0)


def _run_options() -> ort.RunOptions:
    options = ort.RunOptions()
    options.log_severity_level = _SILENT
    return options


def _used(session: ort.InferenceSession) -> tuple[str, ...]:
    """The providers that have a part of the model. A listed one may have been given no node."""
    listed = tuple(session.get_providers())
    ask = getattr(session, "get_provider_graph_assignment_info", None)
    if ask is None or listed == CPU:  # before onnxruntime 1.24 it could not be asked
        return listed
    busy = {part.ep_name for part in ask()}
    return tuple(name for name in listed if name in busy) or CPU
