"""The README's ten minutes, exactly as printed, on ports of their own."""

import json
import os
import re
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest

from cloud_sync.broker.embedded import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

# Only what this machine needs differs: ports that are free, and the programs' folder.
PRELUDE = """
set -euo pipefail
mosquitto_sub() { command mosquitto_sub -p "$BROKER_PORT" "$@"; }
mosquitto_pub() { command mosquitto_pub -p "$BROKER_PORT" "$@"; }
"""
EPILOGUE = '\nwait "$!"\n'


def blocks(heading: str) -> list[str]:
    """The shell blocks of one section."""
    section = README.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.needs("mosquitto-clients")
def test_the_first_own_module_answers_a_message(tmp_path: Path):
    http_port, broker_port = free_port(), free_port()
    script = PRELUDE + "\n".join(blocks("Your first own module")) + EPILOGUE
    scripts = sysconfig.get_path("scripts")
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("SHOAL_", "EDGE_AGENT_"))},
        "PATH": f"{scripts}:{os.environ['PATH']}:/usr/bin",
        "BROKER_PORT": str(broker_port),
        "CLOUD_SYNC_HTTP_PORT": str(http_port),
        "CLOUD_SYNC_BROKER_PORT": str(broker_port),
        "EDGE_AGENT_CLOUD_URL": f"http://127.0.0.1:{http_port}",
        "EDGE_AGENT_CLOUD_BROKER": f"mqtt://127.0.0.1:{broker_port}",
        "SHOAL_SERVER": f"http://127.0.0.1:{http_port}",
    }
    output = tmp_path / "output.txt"
    with output.open("wb") as log:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = shell.wait(150)
        finally:
            # The service and the agent are still in the background, in the shell's group.
            os.killpg(shell.pid, signal.SIGTERM)
    said = output.read_text()
    assert status == 0, said
    answers = [json.loads(line) for line in said.splitlines() if line.startswith('{"module"')]
    assert [a["id"] for a in answers] == [1], said
    assert answers[0]["outputs"]["label"] in (0, 1, 2)


def test_the_readme_names_every_top_level_folder():
    section = README.split("## The folders", 1)[1]
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    folders = {line.split("/")[0] for line in listed if "/" in line}
    for folder in folders - {".ci", "constraints"}:
        assert f"`{folder}/`" in section, folder


def test_links_of_the_documents_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
