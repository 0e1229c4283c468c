"""Settings files: what is read, and what a person is told when it cannot be."""

import contextlib
import tomllib
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from edge_agent.contract.environment import override, variables
from edge_agent.contract.toml import read_toml
from edge_agent.contract.toml_lines import key_lines
from edge_agent.errors import ConfigError


class Field(Struct, frozen=True, kw_only=True):
    name: str
    min: float | None = None


class Tensor(Struct, frozen=True, kw_only=True):
    name: str
    fields: tuple[Field, ...] = ()


class Http(Struct, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    codec: Literal["json", "image"] = "json"
    allow_remote: bool = False
    rule: Annotated[str, Meta(pattern="^[ab]$", description="'a' or 'b'")] = "a"


class Settings(Struct, frozen=True, kw_only=True):
    http: Http = Http()
    tensor: tuple[Tensor, ...] = ()
    words: dict[str, str] = {}


def read(text: str) -> Settings:
    return read_toml(text, Settings, source="x.toml", error=ConfigError)


def test_tables_lists_of_tables_and_inline_tables_are_read() -> None:
    settings = read(
        '[http]\nport = 1\n[[tensor]]\nname = "a"\n[[tensor]]\nname = "b"\n'
        'fields = [\n  { name = "f", min = 0 },\n]\n[words]\nanything = "goes"\n'
    )
    assert settings.http.port == 1
    assert settings.tensor[1].fields[0].min == 0
    assert settings.words == {"anything": "goes"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[http]\nport = = 1\n", ["x.toml line 2, column 8", "not TOML"]),
        ('[http]\nhost = "a', ["line 2", "not TOML"]),
        ("[http\n", ["line 1", "not TOML"]),
        ("# c\n\n[http]\nprot = 1\n", ["line 4", "unknown key 'prot' in http", "mean 'port'"]),
        ("[htp]\n", ["line 1", "unknown key 'htp' at the top level", "mean 'http'"]),
        (
            '[[tensor]]\nname="a"\n[[tensor]]\nname="b"\nfields=[\n{name="q"},\n{name="f",minn=0}]',
            ["line 7", "'minn' in tensor[1].fields[1]", "mean 'min'"],
        ),
        (
            '[http]\nhost = """\na\n[x]\n"""\nport = "80"\n',
            ["line 6: http.port expected a whole number; found the text '80'"],
        ),
        (
            "[http]\nport = 70000\n",
            ["line 2: http.port expected a whole number <= 65535; found the number 70000"],
        ),
        ("[http]\nrule = 'q'\n", ["line 2: http.rule expected 'a' or 'b'; found the text 'q'"]),
        ("[http]\nport = 1\nport = 2\n", ["line 3", "this key is given twice"]),
        ("[http]\nallow_remote = 1\n", ["expected true or false; found the number 1"]),
        ('http = "x"', ["line 1: http expected a table; found the text 'x'"]),
        ("[[tensor]]\n\n", ["line 1: tensor[0] needs the key 'name'"]),
        (
            '[http]\ncodec = "jsn"\n',
            [
                "line 2: http.codec expected one of 'image', 'json'; found the text 'jsn'",
                "mean 'json'",
            ],
        ),
        ("[words]\na = 1\n", ["line 1: words expected a text"]),
        ("a = " + "[" * 5000, ["line 1"]),
    ],
)
def test_errors_say_where_and_what(text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    for part in parts:
        assert part in str(caught.value)


def test_lines_are_found_through_strings_comments_and_dotted_keys() -> None:
    text = (
        "a.\"b c\" = 1 # [x]\nq = '''\n[no]\n''' # ]\n[t.'u']\nv = [ # one\n  1,\n  [2, \"]\"],\n"
        '] \nw = { x = 1, y.z = [3] }\n[[t.l]]\n[[t.l]]\n[t.l.m]\nk = """\\"""" \nz = 2\n'
    )
    tomllib.loads(text)
    lines = key_lines(text)
    assert lines[("a", "b c")] == 1
    assert lines[("q",)] == 2
    assert lines[("t", "u")] == 5
    assert lines[("t", "u", "v", 0)] == 7
    assert lines[("t", "u", "v", 1, 1)] == 8
    assert lines[("t", "u", "w", "y", "z")] == 10
    assert lines[("t", "l", 1)] == 12
    assert lines[("t", "l", 1, "m", "k")] == 14
    assert lines[("t", "l", 1, "m", "z")] == 15


@given(st.text(alphabet="ab=\"[]{}.\n\\#', 1", max_size=60))
def test_any_text_is_read_or_refused_with_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        read(text)


def test_the_environment_overrides_a_setting() -> None:
    settings = override(
        Settings(),
        {"X_HTTP_PORT": "9", "X_HTTP_ALLOW_REMOTE": "true", "HOME": "/"},
        prefix="X",
        error=ConfigError,
    )
    assert (settings.http.port, settings.http.allow_remote) == (9, True)
    assert variables(Settings, prefix="X")["X_HTTP_ALLOW_REMOTE"] == ("http", "allow_remote")


@pytest.mark.parametrize(
    ("environment", "part"),
    [
        ({"X_HTTP_PRT": "1"}, "did you mean 'X_HTTP_PORT'"),
        ({"X_HTTP_CODEC": "jsn"}, "X_HTTP_CODEC expected one of 'image', 'json'"),
        (
            {"X_HTTP_HOST": "h", "X_HTTP_PORT": "many"},
            "X_HTTP_PORT expected a whole number; found 'many'",
        ),
    ],
)
def test_a_wrong_variable_is_named(environment: dict[str, str], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        override(Settings(), environment, prefix="X", error=ConfigError)
