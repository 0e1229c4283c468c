"""Coverage-guided fuzzing of one reader: `python -m tests.fuzz.run cbor --runs 20000`.

Ends with 0 after that many inputs, and with another status at the first find, whose bytes are
written to a file that the last lines name. Needs atheris; run it from the root of the clone.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

READERS = ("cbor", "image", "json", "octet-stream", "oip", "oip-binary")
SECONDS_AN_INPUT = 10
MEMORY_MB = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz.run")
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--runs", type=int, default=20_000, help="inputs to try; -1 never ends")
    parser.add_argument("--seconds", type=int, default=0, help="end after this long; 0 never")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-bytes", type=int, default=1024, help="longest input")
    parser.add_argument("--finds", type=Path, default=Path(), help="folder for what is found")
    options = parser.parse_args()
    with atheris.instrument_imports(include=["edge_agent", "msgspec", "PIL"]):
        from tests.fuzz.samples import SAMPLES, WORDS
        from tests.fuzz.targets import TARGETS
    target = TARGETS[options.reader]()
    with tempfile.TemporaryDirectory(prefix="shoal-fuzz-") as folder:
        seeds = Path(folder) / "seeds"
        seeds.mkdir()
        for number, sample in enumerate(SAMPLES[options.reader]()):
            (seeds / str(number)).write_bytes(sample)
        words = Path(folder) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS))
        arguments = [
            sys.argv[0],
            f"-runs={options.runs}",
            f"-max_total_time={options.seconds}",
            f"-seed={options.seed}",
            f"-max_len={options.max_bytes}",
            f"-timeout={SECONDS_AN_INPUT}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-dict={words}",
            f"-artifact_prefix={options.finds}/",
            "-print_final_stats=1",
            str(seeds),
        ]
        atheris.Setup(arguments, target)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
