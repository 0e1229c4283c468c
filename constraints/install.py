"""Install pinned packages with pip, and show one moving line instead of pip's two hundred.

    python constraints/install.py PYTHON constraints/demo.txt

Uses only the standard library: it runs before anything is installed.
"""

import re
import subprocess
import sys
from collections import deque
from pathlib import Path

BAR = 24
STEP = re.compile(
    r"^(?:Collecting|Processing|Requirement already satisfied:) (?:\S*/)?"
    r"([A-Za-z]\w*(?:-[A-Za-z]\w*)*)"
)
"""A line of pip's about one package: from an index, a file, or there already."""


def main(arguments: list[str]) -> int:
    """Run pip; its exit status. Its last words are shown only if it fails."""
    python, pins = arguments
    wanted = len(re.findall(r"^\w", Path(pins).read_text(), re.MULTILINE))
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off"]
    last: deque[str] = deque(maxlen=30)
    seen: set[str] = set()
    with subprocess.Popen(
        [*pip, "--require-hashes", "-r", pins],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            last.append(line)
            step = STEP.match(line)
            if step:
                seen.add(step[1])
                show(len(seen), wanted, f"getting {step[1]}")
            elif line.startswith("Installing collected packages"):
                show(wanted, wanted, f"installing {len(seen)} packages")
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    if process.returncode:
        print("".join(last), end="", file=sys.stderr)
        print("error: pip could not install the pinned packages; its last words are above")
    else:
        print(f"Installed {len(seen)} packages.")
    return process.returncode


def show(done: int, wanted: int, what: str) -> None:
    """Draw the line, if anybody is there to see it."""
    if sys.stdout.isatty():
        filled = BAR * min(done, wanted) // max(wanted, 1)
        bar = "━" * filled + "─" * (BAR - filled)
        print(f"\r\033[K  {bar} {what}"[:100], end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
