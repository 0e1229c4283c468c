import pytest

from edge_agent.contract.address import Address, parse_address
from edge_agent.errors import ContractError


@pytest.mark.parametrize(
    ("text", "address", "is_loopback"),
    [
        ("127.0.0.1:8090", Address("127.0.0.1", 8090), True),
        ("127.8.8.8:0", Address("127.8.8.8", 0), True),
        ("localhost:8090", Address("localhost", 8090), True),
        ("[::1]:8090", Address("::1", 8090), True),
        ("0.0.0.0:8090", Address("0.0.0.0", 8090), False),
        ("[::]:65535", Address("::", 65535), False),
        ("10.0.0.7:80", Address("10.0.0.7", 80), False),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: Address, is_loopback: bool) -> None:
    found = parse_address(text)
    assert found == address
    assert found.is_loopback == is_loopback


@pytest.mark.parametrize(
    "text",
    ["", "8090", ":8090", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:80",
     "example.com:80", "http://127.0.0.1:80", "127.0.0.1:-1", "127.0.0.1:٣", "[]:80"],
)  # fmt: skip
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ContractError, match=r"127\.0\.0\.1:8090"):
        parse_address(text)
