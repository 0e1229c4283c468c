"""Where each key of a TOML text stands. tomllib reads values but keeps no positions.

The text must have been accepted by tomllib before: this scanner finds its way through valid TOML
and judges nothing.
"""

import re
import tomllib
from typing import Final

Path = tuple[str | int, ...]
"""Keys and list indices from the top of the file."""

_SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK: Final = re.compile(r"[ \t]*")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^,\]}#\n]*")


def key_lines(text: str) -> dict[Path, int]:
    """The line of every key, table header and list element, counted from 1.

    Args:
        text: valid TOML.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._line = 1
        self._tables: dict[Path, int] = {}  # array of tables -> index of its last element

    def document(self) -> None:
        table: Path = ()
        self._skip(_SPACE)
        while self._at < len(self._text):
            if self._peek("[["):
                table = self._header(2)
            elif self._peek("["):
                table = self._header(1)
            else:
                self._pair(table)
            self._skip(_SPACE)

    def _peek(self, token: str) -> bool:
        return self._text.startswith(token, self._at)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        found = match.group() if match else ""
        self._at += len(found)
        self._line += found.count("\n")
        return found

    def _header(self, brackets: int) -> Path:
        """`[a.b]` or `[[a.b]]`; the last element of every array of tables on the way is meant."""
        line = self._line
        self._at += brackets
        keys = self._keys()
        self._at += brackets
        path: Path = ()
        for index, key in enumerate(keys):
            path = (*path, key)
            is_new = brackets == 2 and index == len(keys) - 1
            if is_new:
                self._tables[path] = self._tables.get(path, -1) + 1
                self.lines.setdefault(path, line)
            if path in self._tables:
                path = (*path, self._tables[path])
        self.lines[path] = line
        return path

    def _keys(self) -> list[str]:
        """A dotted key; stops behind it and the blanks that follow."""
        keys: list[str] = []
        while True:
            self._skip(_BLANK)
            if self._peek('"') or self._peek("'"):
                quoted = self._skip(_STRING)
                keys.append(next(iter(tomllib.loads(f"{quoted} = 0"))))
            else:
                keys.append(self._skip(_BARE_KEY))
            self._skip(_BLANK)
            if not self._peek("."):
                return keys
            self._at += 1

    def _pair(self, table: Path) -> None:
        line = self._line
        start = self._at
        path = table
        for key in self._keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._value(path)
        # The text was valid, so something was read; a scanner must end in any case.
        self._at = max(self._at, start + 1)

    def _value(self, path: Path) -> None:
        self._skip(_BLANK)
        if self._peek('"') or self._peek("'"):
            self._skip(_STRING)
        elif self._peek("["):
            self._list(path)
        elif self._peek("{"):
            self._inline_table(path)
        else:
            self._skip(_SCALAR)

    def _list(self, path: Path) -> None:
        self._at += 1
        index = 0
        self._skip(_SPACE)
        while self._at < len(self._text) and not self._peek("]"):
            self.lines[(*path, index)] = self._line
            self._value((*path, index))
            index += 1
            self._skip_comma()
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        self._skip(_SPACE)
        while self._at < len(self._text) and not self._peek("}"):
            self._pair(path)
            self._skip_comma()
        self._at += 1

    def _skip_comma(self) -> None:
        self._skip(_SPACE)
        if self._peek(","):
            self._at += 1
            self._skip(_SPACE)
