"""One filled-in instance of every control message; the golden files hold their wire bytes."""

import msgspec
from msgspec import Raw

from edge_agent.contract import labels as lb
from edge_agent.contract import manifest as m
from edge_agent.contract import messages as msg
from edge_agent.contract import results as r
from edge_agent.contract import scores as sc
from edge_agent.contract import state as s
from edge_agent.contract.signature import TensorSpec

DIGEST_A = "sha256:" + "a" * 64
DIGEST_B = "sha256:" + "b" * 64

MANIFEST = m.Manifest(
    name="shuttle-anomaly",
    license="MIT",
    description="Finds anomalies",
    model=m.Model(
        blob=m.Blob(path="model.onnx", digest=DIGEST_A, size=130_000),
        ir_version=10,
        opsets={"": 21, "ai.onnx.ml": 3},
        inputs=(TensorSpec("X", "float32", (-1, 2)),),
        outputs=(TensorSpec("label", "int64", (-1,)),),
        registry="shuttle/3",
    ),
    input=m.Input(topic="sensors/+/shuttle", window=m.Window(size=4, step=2)),
    tensors=(
        m.Tensor(
            name="X",
            source="fields",
            fields=(
                m.Field(name="flow", path="s.flow", unit="l/min", min=0, max=150),
                m.Field(name="heat", missing="nan"),
            ),
        ),
    ),
    output=m.Output(topic="results/{1}/shuttle", uplink="sample:0.01"),
    runtime=m.Runtime(max_batch=32, deadline_ms=200, memory_mb=64),
    health=m.Health(
        golden=(m.Blob(path="golden/a.json", digest=DIGEST_B, size=12),),
        tolerance=1e-5,
        max_p99_ms=5,
        trial=m.Trial(seconds=60, messages=200, max_error_rate=0.01),
        profile=sc.Profile(
            output="label", columns=(sc.ScoreBins(labels=(0, 1), counts=(180, 20, 0)),)
        ),
    ),
    parity=m.Parity(rows=100, label_agreement=1.0, max_difference=1e-6, tolerance=1e-5),
    metrics={"f1": 0.9989},
)

SAMPLES: dict[str, msgspec.Struct] = {
    "manifest": MANIFEST,
    "desired": s.DesiredState(
        device="line-1",
        revision=7,
        slots={
            "shuttle-anomaly": s.WantedSlot(
                module="shuttle-anomaly",
                version=3,
                digest=DIGEST_A,
                config=s.SlotConfig(input_topic="other/+/topic"),
                lock_max_s=600,
            )
        },
        settings=s.AgentSettings(health_interval_s=10, fetch_spread_s=20, reconnect_spread_s=40),
    ),
    "reported": s.ReportedState(
        device="line-1",
        boot_id="0f5a",
        seq=12,
        time=1_700_000_000.5,
        revision_seen=7,
        revision_applied=6,
        slots={
            "shuttle-anomaly": s.ReportedSlot(
                module="shuttle-anomaly",
                phase=s.Phase.ROLLED_BACK,
                running=DIGEST_B,
                running_version=2,
                wanted=DIGEST_A,
                wanted_version=3,
                error=s.SlotError(code="golden_differs", text="case 1", step="trial"),
                attempts=1,
                next_retry=1_700_000_060.0,
                since=1_700_000_000.0,
                locked_until=1_700_000_300.0,
            )
        },
        agent=s.AgentInfo(version="0.1.0", python="3.11.7", onnxruntime="1.31.1", started=1.0),
        hardware=s.Hardware(
            machine="aarch64",
            system="Linux",
            cpu="0x41 0xd08 3 Raspberry Pi 4 Model B Rev 1.4",
            cpus=4,
            memory_mb=4096,
            providers=("CPUExecutionProvider",),
            unusable={"CUDAExecutionProvider": "libcublasLt.so.13: cannot open shared object file"},
        ),
        clock_synced=True,
        uptime_s=30.5,
    ),
    "status": msg.Status(
        device="line-1",
        state="online",
        boot_id="0f5a",
        started=1_700_000_000.0,
        time=1_700_000_001.0,
        host="pi",
        uptime_s=1.25,
        clock_synced=True,
    ),
    "health": msg.Health(
        device="line-1",
        boot_id="0f5a",
        time=1_700_000_030.0,
        uptime_s=30.0,
        interval_s=30.0,
        slots={
            "shuttle-anomaly": msg.SlotHealth(
                module="shuttle-anomaly",
                version=3,
                digest=DIGEST_A,
                state="running",
                pid=4711,
                connected=False,
                error="connection to 127.0.0.1:1883 lost",
                messages_in=100,
                messages_out=98,
                failed={"out_of_range": 2},
                dropped={"deadline": 1},
                total=msg.Timing(p50_ms=0.2, p99_ms=0.5, max_ms=1.5),
                run=msg.Timing(p50_ms=0.01, p99_ms=0.02, max_ms=0.1),
                scores=(90, 8, 0),
                rss_mb=61.5,
                pss_mb=12.25,
            )
        },
        cpu_percent=0.4,
        rss_mb=101.0,
        pss_mb=52.0,
        disk_free_mb=1024.0,
        outbox_rows=3,
        outbox_dropped=2,
        outbox_resent=1,
        outbox={"result": msg.OutboxHealth(rows=3, bytes=900, dropped={"full": 2})},
        clock_synced=True,
    ),
    "telemetry": msg.Telemetry(
        device="line-1",
        boot_id="0f5a",
        rows=(
            msg.TelemetryRow(
                seq=3,
                kind="event",
                time=1_700_000_002.0,
                slot="shuttle-anomaly",
                data=Raw(b'{"name":"slot_active","level":"info"}'),
            ),
        ),
    ),
    "event": msg.Event(name="slot_active", text="version 3", detail={"digest": DIGEST_A}),
    "question": msg.Telemetry(
        device="line-1", boot_id="0f5a", rows=(), question="c41d-7", asks=(3, 12, 13)
    ),
    "ack": msg.Ack(boot_id="0f5a", seqs=(3, 12)),
    "answer": msg.Ack(boot_id="0f5a", seqs=(3, 12), answers="c41d-7"),
    "command": msg.Command(name="restart-slot", slot="shuttle-anomaly", deadline=1_700_000_100.0),
    "command_result": msg.CommandResult(device="line-1", ok=True, text="restarted", time=1.5),
    "labels": lb.Labels(
        device="line-1",
        labels=(
            lb.Label(slot="shuttle-anomaly", id="row-7", value=1),
            lb.Label(slot="shuttle-anomaly", id=8, right=False),
        ),
    ),
    "result": r.InferenceResult(
        module="shuttle-anomaly",
        version=3,
        digest=DIGEST_A,
        device="line-1",
        slot="shuttle-anomaly",
        topic="sensors/a/shuttle",
        received=1_700_000_000.25,
        times_us=r.StageTimes(decode=4.0, run=9.5, encode=3.0),
        outputs=Raw(b'{"label":1,"probabilities":[0.9,0.1]}'),
        id=Raw(b'"row-7"'),
        input_time=Raw(b"1700000000.125"),
    ),
    "error": r.InferenceError(
        module="shuttle-anomaly",
        version=3,
        digest=DIGEST_A,
        device="line-1",
        slot="shuttle-anomaly",
        topic="sensors/a/shuttle",
        received=1_700_000_000.25,
        error=r.InferenceFault(code="out_of_range", text="flow 200 > 150", field="flow"),
        id=Raw(b"7"),
    ),
}
