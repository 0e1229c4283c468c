import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract import topics
from edge_agent.contract.names import NAME_PATTERN, check_digest, check_name, did_you_mean
from edge_agent.contract.topics import Channel, ControlTopic
from edge_agent.errors import ContractError

NAMES = st.from_regex(NAME_PATTERN.replace("$", r"\Z"))
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
LEVEL = st.text(st.sampled_from("abc{}1 é"), max_size=4)


@given(NAMES, st.sampled_from(Channel), IDS)
def test_a_control_topic_is_parsed_back(device: str, channel: Channel, message_id: str):
    wanted = message_id if channel in (Channel.COMMAND, Channel.RESULT) else ""
    topic = topics.control(device, channel, wanted)
    assert topics.parse(topic) == ControlTopic(device, channel, wanted)


@given(st.text())
def test_any_other_topic_is_a_contract_error(text: str):
    with pytest.raises(ContractError):
        topics.parse(text)


@pytest.mark.parametrize(
    "topic",
    [
        "shoal/v1/line-1/up/status/x",
        "shoal/v1/line-1/down/command",
        "shoal/v1/LINE/up/status",
        "shoal/v2/line-1/up/status",
        "shoal/v1/line-1/up/unknown",
        "shoal/v1/line-1/down/command/" + "x" * 65,
        "shoal/v1/line-1\n/up/status",
    ],
)
def test_malformed_control_topics_are_refused(topic: str):
    with pytest.raises(ContractError):
        topics.parse(topic)


def test_the_cloud_hears_every_up_channel_of_every_device():
    for channel in Channel:
        if not channel.value.startswith("up/"):
            continue
        message_id = "x" if channel is Channel.RESULT else ""
        topic = topics.control("line-1", channel, message_id)
        assert any(topics.captures(f, topic) is not None for f in topics.up_filters())


@pytest.mark.parametrize(
    ("topic_filter", "topic", "caught"),
    [
        ("a/b", "a/b", ()),
        ("a/+", "a/b", ("b",)),
        ("a/+", "a", None),
        ("a/+", "a/b/c", None),
        ("+/x/+", "p/x/q", ("p", "q")),
        ("a/#", "a/b/c", ("b/c",)),
        ("a/#", "a", ("",)),
        ("#", "a/b", ("a/b",)),
        ("#", "$SYS/x", None),
        ("+/x", "$SYS/x", None),
        ("a/+", "a/", ("",)),
    ],
)
def test_wildcards_catch_what_mqtt_says(topic_filter: str, topic: str, caught: object):
    assert topics.captures(topic_filter, topic) == caught


def test_output_templates_are_checked_and_filled():
    topics.check_output_template("results/{1}/{device}", "sensors/+/x")
    assert topics.expand_output("results/{1}/{device}", ("a",), "line-1") == "results/a/line-1"
    for bad in ("results/{2}", "results/{0}", "results/{name}", "results/{}", "a/+", "shoal/x", ""):
        with pytest.raises(ContractError):
            topics.check_output_template(bad, "sensors/+/x")


def test_blanks_in_topics_are_refused_because_some_brokers_do():
    for bad in ("my sensors/+/x", "a\tb", "a/\u00a0", "a/\x7f"):
        with pytest.raises(ContractError, match="blanks and control characters"):
            topics.check_filter(bad)
        with pytest.raises(ContractError, match="blanks and control characters"):
            topics.check_output_template(bad.replace("+", "x"), "a/+")
    assert topics.check_filter("sensörs/+/ü") == "sensörs/+/ü"


@pytest.mark.parametrize("bad", ["", "a/#/b", "a/b#", "a/b+", "shoal/v1/x", "$SYS/#", "a\0b"])
def test_malformed_filters_are_refused(bad: str):
    with pytest.raises(ContractError):
        topics.check_filter(bad)


@pytest.mark.parametrize(
    ("left", "right", "overlap"),
    [
        ("a/b", "a/b", True),
        ("a/+", "+/b", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("a/b", "a/c", False),
        ("#", "x/y", True),
        ("a", "a/b/#", False),
    ],
)
def test_overlap_of_filters(left: str, right: str, overlap: bool):
    assert topics.filters_overlap(left, right) is overlap
    assert topics.filters_overlap(right, left) is overlap


@given(st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4), st.data())
def test_filters_that_share_a_topic_overlap(levels: list[str], data: st.DataObject):
    left = "/".join(levels)
    topic = "/".join(data.draw(st.sampled_from("ab")) if x == "+" else x for x in levels)
    right = "/".join(data.draw(st.sampled_from(["+", x])) for x in topic.split("/"))
    assert topics.captures(left, topic) is not None
    assert topics.filters_overlap(left, right)


@pytest.mark.parametrize("bad", ["", "-a", "A", "a_b", "a" * 64, "a\n", "é", "a/b", "a.b"])
def test_bad_names_are_refused_with_what_was_expected(bad: str):
    with pytest.raises(ContractError, match="device name expected"):
        check_name("device", bad)


def test_bad_digests_are_refused():
    check_digest("sha256:" + "0" * 64)
    for bad in ("", "sha256:" + "0" * 63, "sha256:" + "G" * 64, "md5:" + "0" * 64):
        with pytest.raises(ContractError):
            check_digest(bad)


def test_hints_name_the_closest_word_or_list_what_is_known():
    assert did_you_mean("topc", ["topic", "codec"]) == "did you mean 'topic'?"
    assert did_you_mean("zzz", ["topic", "codec"]) == "known: codec, topic"
    assert did_you_mean("zzz", []) == ""
