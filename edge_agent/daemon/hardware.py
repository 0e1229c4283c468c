"""What this device can run models on: tried once, kept, and told to every worker.

The providers are tried in a thread of their own when something changed since the last time; only
who needs an accelerator waits for it. What runs on the CPU never does.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from edge_agent.config import HardwareSection
from edge_agent.contract.manifest import Manifest
from edge_agent.contract.messages import Event
from edge_agent.contract.providers import CPU, choose, full_name, parse_options, short_name
from edge_agent.contract.state import Hardware
from edge_agent.daemon.accelerators import cpu_model, digest, fingerprint
from edge_agent.daemon.machine import hardware
from edge_agent.daemon.measurements import Measurements
from edge_agent.errors import ShoalError, StorageError
from edge_agent.reconcile.hardware import NONE_UNFIT
from edge_agent.runtime.cpus import allowed_cpus
from edge_agent.runtime.protocol import (
    Measured,
    RunsOn,
    WorkerEvent,
    WorkerFellBack,
    WorkerReady,
    WorkerSpec,
    WorkerTrialPassed,
)
from edge_agent.runtime.provider_probe import FoundProviders, probe_providers
from edge_agent.store.files import write_atomic

log: Final = logging.getLogger("edge_agent.daemon")

FILE: Final = "providers.json"
MAX_BYTES: Final = 2**16
WAIT_S: Final = 300.0
"""Longest time that a worker waits for the providers to be tried; then it runs on the CPU."""

_VERSION: Final = 2
_NOT_KNOWN: Final = "the device is still trying its providers"


class _File(Struct, frozen=True, kw_only=True):
    v: int
    fingerprint: str
    found: FoundProviders


class DeviceHardware:
    """Knows what works here. Any thread.

    Args:
        section: what the device's owner set.
        state_dir: where findings are kept.
        onnxruntime: the installed version.
        on_known: called once when the providers had to be tried and are known; must not block.
        look: tries the providers.
    """

    def __init__(
        self,
        section: HardwareSection,
        state_dir: Path,
        *,
        onnxruntime: str,
        on_known: Callable[[], None],
        look: Callable[[dict[str, dict[str, str]]], FoundProviders] = probe_providers,
    ) -> None:
        self._section = section
        self._options = parse_options(section.options)
        self._path = state_dir / FILE
        self._onnxruntime = onnxruntime
        self._on_known = on_known
        self._look = look
        self._measurements = Measurements(state_dir)
        self._is_known = threading.Event()
        self._found = FoundProviders(onnxruntime=onnxruntime, providers={})
        self._problem = ""
        self._lock = threading.Lock()
        self._told: dict[str, tuple[str, frozenset[str]]] = {}

    def start(self) -> None:
        """Read what is known; find it out if something changed."""
        now = fingerprint(self._options)
        kept = _read(self._path)
        if kept is not None and kept.fingerprint == now:
            self._found = kept.found
            self._is_known.set()
            return
        threading.Thread(target=self._try, args=(now,), name="providers", daemon=True).start()

    def await_known(self, timeout_s: float) -> bool:
        """Wait until the providers were tried, well or not; returns whether they were."""
        return self._is_known.wait(timeout_s)

    @property
    def providers(self) -> tuple[str, ...]:
        """Those that work, as far as is known."""
        return tuple(name for name, reason in self._found.providers.items() if not reason)

    @property
    def unusable(self) -> dict[str, str]:
        """Those that onnxruntime lists and that do not work, to the reason."""
        return {name: reason for name, reason in self._found.providers.items() if reason}

    def reported(self) -> Hardware:
        """What the device is, as it is reported."""
        return replace(
            hardware(), cpu=cpu_model(), providers=self.providers, unusable=self.unusable
        )

    def runs_on(
        self,
        manifest: Manifest,
        *,
        unfit: Mapping[str, str] = NONE_UNFIT,
        wait_s: float = WAIT_S,
    ) -> RunsOn:
        """What a module's model is to run on. Waits for the providers if it wants others.

        Args:
            manifest: of the module.
            unfit: providers that it must not run on, to the reason.
            wait_s: at most.
        """
        found = self._found_for(manifest, wait_s) | dict(unfit)
        while True:
            runs_on = self._choose(manifest, found)
            first = runs_on.providers[0]
            if first == CPU or runs_on.measured is None or not runs_on.measured.unfit:
                return runs_on
            found[first] = runs_on.measured.unfit  # each turn takes one provider away

    def keep_off(self, manifest: Manifest, unfit: Mapping[str, str]) -> None:
        """Remember that a module's model must not run on some providers."""
        for _ in unfit:
            runs_on = self.runs_on(manifest)
            provider = runs_on.providers[0]
            if provider != CPU and provider in unfit:
                self.learn(runs_on, Measured(unfit=unfit[provider]))

    def _found_for(self, manifest: Manifest, wait_s: float) -> dict[str, str]:
        """Why each provider does not work, as far as it matters to a module."""
        wanted, preferred = manifest.runtime.providers, self._section.providers
        found = {CPU: ""}
        if any(full_name(name) != CPU for name in (*wanted, *preferred)):
            is_known = self.await_known(wait_s)
            found |= self._found.providers
            reason = self._problem if is_known else _NOT_KNOWN
            if reason:
                found |= dict.fromkeys(map(full_name, (*wanted, *preferred)), reason)
                found[CPU] = ""
        return found

    def _choose(self, manifest: Manifest, found: Mapping[str, str]) -> RunsOn:
        choice = choose(manifest.runtime.providers, self._section.providers, found)
        options = {name: self._options[name] for name in choice.providers if name in self._options}
        key = self._key(manifest, choice.providers, options)
        return RunsOn(
            providers=choice.providers,
            options=options,
            notes=choice.notes,
            max_threads=self._section.max_threads,
            measured=self._measurements.get(key),
            is_measuring=True,
            key=key,
        )

    def heard(self, spec: WorkerSpec, event: WorkerEvent) -> Event | None:
        """Learn from what a worker says.

        Args:
            spec: what the worker was told.
            event: what it said.

        Returns:
            What the cloud should know: that a model does not run on what was wanted for it, once
            for each version and reason.
        """
        match event:
            case WorkerReady(measured=Measured() as measured):
                self.learn(spec.runs_on, measured)
            case WorkerTrialPassed(measured=Measured() as measured):
                self.learn(spec.runs_on, measured)
            case WorkerFellBack() if self._is_news(spec, event.text):
                log.warning("event=provider_fallback slot=%s text=%r", spec.slot, event.text)
                return Event(
                    name="provider_fallback",
                    level="warning",
                    text=event.text,
                    detail={
                        "version": str(spec.version),
                        "runs_on": ",".join(map(short_name, event.providers)),
                    },
                )
            case _:
                pass
        return None

    def learn(self, runs_on: RunsOn, measured: Measured) -> None:
        """Keep what a worker measured, for those that come after it."""
        if runs_on.key:
            self._measurements.put(runs_on.key, measured)

    def _is_news(self, spec: WorkerSpec, text: str) -> bool:
        """Whether this was not told before. A worker that starts again says it again."""
        with self._lock:
            digest, texts = self._told.get(spec.slot, ("", frozenset()))
            known = texts if digest == spec.digest else frozenset()
            self._told[spec.slot] = (spec.digest, known | {text})
            return text not in known

    def _key(
        self, manifest: Manifest, providers: tuple[str, ...], options: dict[str, dict[str, str]]
    ) -> str:
        """All that a measurement depends on, as one word."""
        runtime = manifest.runtime
        return digest(
            (
                manifest.model.blob.digest,
                self._onnxruntime,
                cpu_model(),
                str(allowed_cpus()),
                f"{self._section.max_threads} {runtime.threads} {runtime.max_batch}",
                *providers,
                *(f"{p}.{k}={v}" for p in sorted(options) for k, v in sorted(options[p].items())),
            )
        )

    def _try(self, now: str) -> None:
        try:
            self._found = self._look(self._options)
        except ShoalError as error:
            self._problem = error.text
            log.error("event=providers_unknown code=%s text=%r", error.code, error.text)
        else:
            self._keep(_File(v=_VERSION, fingerprint=now, found=self._found))
            usable = ",".join(map(short_name, self.providers))
            log.info("event=providers_found usable=%s", usable)
            for name, reason in self.unusable.items():
                log.info("event=provider_unusable provider=%s reason=%r", short_name(name), reason)
        self._is_known.set()
        self._on_known()

    def _keep(self, file: _File) -> None:
        try:
            write_atomic(self._path, msgspec.json.encode(file))
        except StorageError as error:
            log.warning("event=providers_not_kept code=%s text=%r", error.code, error.text)


def _read(path: Path) -> _File | None:
    try:
        with path.open("rb") as source:
            file = msgspec.json.decode(source.read(MAX_BYTES), type=_File)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None  # never tried, or it cannot be told: it is tried (again)
    return file if file.v == _VERSION else None
