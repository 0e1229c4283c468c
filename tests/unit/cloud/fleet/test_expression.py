"""Expressions: how they are read, written, and what a wrong one says."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud_sync.fleet.expression import (
    And,
    Everything,
    Expression,
    Grouped,
    Labelled,
    Named,
    Not,
    Or,
    Running,
    Slotted,
    Tagged,
    Text,
    write,
)
from cloud_sync.fleet.expression_reader import MAX_LENGTH, ExpressionError, read_expression

OSLO = Labelled("site", Text("oslo"))
LAB = Tagged("lab")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", Everything()),
        ("line-1", Named(Text("line-1"))),
        ('"all"', Named(Text("all"))),
        ("line-*", Named(Text("line-*", is_pattern=True))),
        ("site=oslo", OSLO),
        (" site = oslo ", OSLO),
        ("site=os*", Labelled("site", Text("os*", is_pattern=True))),
        ('site="os*"', Labelled("site", Text("os*"))),
        ("site='hall 2'", Labelled("site", Text("hall 2"))),
        (r'site="a\"b\\c"', Labelled("site", Text('a"b\\c'))),
        ("site=a=b", Labelled("site", Text("a=b"))),
        ("site!=oslo", Not(OSLO)),
        ("not site=oslo", Not(OSLO)),
        ("tag:lab", LAB),
        ("tag:lab=yes", Tagged("lab", Text("yes"))),
        ('tag:"odd key"!=1', Not(Tagged("odd key", Text("1")))),
        ("group:winter", Grouped("winter")),
        ("module=wine", Running(Text("wine"))),
        ("module!=wine/3", Not(Running(Text("wine"), 3))),
        ("module=wi*/v3", Running(Text("wi*", is_pattern=True), 3)),
        ('"module"=wine', Labelled("module", Text("wine"))),
        ("slot:wine", Slotted("wine")),
        ("slot:wine=v3", Slotted("wine", 3)),
        (
            "a or b and not c",
            Or((Named(Text("a")), And((Named(Text("b")), Not(Named(Text("c"))))))),
        ),
        ("(a or b) and c", And((Or((Named(Text("a")), Named(Text("b")))), Named(Text("c"))))),
        ("a OR (b or c)", Or((Named(Text("a")), Named(Text("b")), Named(Text("c"))))),
        ("android", Named(Text("android"))),
        (
            "site=oslo and model!=v1 and not tag:lab",
            And((OSLO, Not(Labelled("model", Text("v1"))), Not(LAB))),
        ),
    ],
)
def test_a_text_becomes_an_expression(text: str, expected: Expression) -> None:
    assert read_expression(text) == expected


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 0, "expected a device's name.*found the end"),
        ("site=", 5, "expected a value behind '='"),
        ("=x", 0, "expected a tag's name before '='"),
        ("site==x", 5, "expected one '='"),
        ("Line-1", 0, "expected a device's name of a-z"),
        ("a adn b", 2, "expected 'and', 'or' or the end"),
        ("a and", 5, "found the end"),
        ("(a or b", 7, r"'\)' that closes the one at character 1"),
        ("a)", 1, r"found '\)'"),
        ("a or or b", 5, "found 'or'"),
        ('site="x', 7, 'the " that closes the one at character 6'),
        ("si*e=x", 0, r"without '\*'"),
        ("tag:", 4, "a tag's name behind 'tag:'"),
        ("group:No", 6, "a group's name behind 'group:'"),
        ("module=No", 7, "a module's name"),
        ("slot:wine=x", 10, "a version, as v3"),
        ("not " * 60 + "a", 51 * 4, "at most 50 levels"),
        ("a" * (MAX_LENGTH + 1), MAX_LENGTH, "at most 2000 characters"),
    ],
)
def test_a_wrong_text_is_refused_at_its_place(text: str, position: int, words: str) -> None:
    with pytest.raises(ExpressionError, match=words) as caught:
        read_expression(text)
    assert (caught.value.position, caught.value.code) == (position, "target_invalid")
    assert caught.value.hint


def test_a_caret_stands_under_the_place_also_in_a_long_text() -> None:
    with pytest.raises(ExpressionError) as caught:
        read_expression("site=oslo\tand " * 20 + "Line-1 or x")
    _, shown, caret = caught.value.text.split("\n")
    assert shown[caret.index("^") :].startswith("Line-1")
    assert shown.startswith("  ...")
    assert "\t" not in shown


WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True)
BARE = st.from_regex(r"[a-zä#=!\\:,.*?/-]*[*?][a-zä#=!\\:,.*?/-]*", fullmatch=True)
VALUES = WORDS.map(Text) | BARE.filter(lambda t: not t.startswith("=")).map(
    lambda text: Text(text, is_pattern=True)
)
NAME_PATTERNS = st.from_regex(r"[a-z0-9-]*[*?][a-z0-9*?-]*", fullmatch=True).map(
    lambda text: Text(text, is_pattern=True)
)
KEYS = WORDS.filter(bool) | st.sampled_from(["and", "All", "module", "tag:x", "slot:", "a b"])
VERSIONS = st.none() | st.integers(0, 999_999_999)
TERMS = st.one_of(
    st.just(Everything()),
    st.builds(Named, NAMES.map(Text) | NAME_PATTERNS | st.sampled_from([Text("all"), Text("not")])),
    st.builds(Labelled, KEYS, VALUES),
    st.builds(Tagged, KEYS, st.none() | VALUES),
    st.builds(Grouped, NAMES),
    st.builds(Running, NAMES.map(Text) | NAME_PATTERNS, VERSIONS),
    st.builds(Slotted, NAMES, VERSIONS),
)


def several(kind: type[And] | type[Or], inner: st.SearchStrategy) -> st.SearchStrategy:
    parts = inner.filter(lambda part: not isinstance(part, kind))
    return st.lists(parts, min_size=2, max_size=4).map(lambda found: kind(tuple(found)))


EXPRESSIONS = st.recursive(
    TERMS,
    lambda inner: st.builds(Not, inner) | several(And, inner) | several(Or, inner),
    max_leaves=12,
)


@given(EXPRESSIONS)
@example(Not(Not(OSLO)))
@example(And((Or((LAB, OSLO)), Not(And((LAB, OSLO))))))
def test_what_is_written_is_read_as_the_same(expression: Expression) -> None:
    assert read_expression(write(expression)) == expression


PIECES = st.sampled_from(
    ["and", "or", "not", "all", "(", ")", "=", "!=", "tag:", "group:", "slot:", "module", " ", '"']
)


@given(st.lists(PIECES | WORDS, max_size=12).map("".join) | WORDS)
@example("\\")
@example('"\\')
@example("tag:'")
def test_any_text_is_an_expression_or_an_error_with_its_place(text: str) -> None:
    try:
        expression = read_expression(text)
    except ExpressionError as refused:
        place: int | None = refused.position
    else:
        place = None
        assert read_expression(write(expression)) == expression
    assert place is None or 0 <= place <= len(text)


@given(st.text("ab*?", max_size=12), st.text("ab\n", max_size=12))
@example("*", "")
@example("**", "a")
@example("a*a", "a")
@example("*ab*b", "abb")
def test_a_pattern_means_what_its_stars_and_marks_say(pattern: str, text: str) -> None:
    rows = {0}  # places of the pattern that can be reached, text by text
    for place, character in enumerate(pattern):
        if character == "*" and place in rows:
            rows.add(place + 1)
    for found in text:
        after = {p for p in rows if pattern[p : p + 1] == "*"}
        after |= {p + 1 for p in rows if pattern[p : p + 1] in ("?", found)}
        for place, character in enumerate(pattern):
            if character == "*" and place in after:
                after.add(place + 1)
        rows = after
    assert Text(pattern, is_pattern=True).matcher()(text) is (len(pattern) in rows)


def test_a_pattern_of_many_stars_is_answered_at_once() -> None:
    # By trying all places of each star it would take longer than anybody lives.
    assert not Text("*a" * 60 + "*b", is_pattern=True).matcher()("a" * 255)
    assert Text("*a" * 60 + "*b", is_pattern=True).matcher()("a" * 255 + "b")
