"""JSON payloads to Python values.

Strict JSON: NaN and Infinity are not part of it. Depth is bounded by the parser, size before it
starts; numbers outside float64 are refused and never become infinite.
"""

import re
from typing import Final

import msgspec

from edge_agent.errors import MessageError
from edge_agent.runtime.codecs.codec import check_size

_NOT_A_NUMBER: Final = re.compile(rb"(?:^|[\s:,\[])(NaN|-?Infinity|nan|-?inf)\s*(?:[,}\]]|$)")


class JsonCodec:
    """Decodes JSON.

    Args:
        max_bytes: longest payload.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._decode = msgspec.json.Decoder().decode

    def decode(self, payload: bytes) -> object:
        """Dicts, lists, strings, numbers, booleans and None.

        Raises:
            MessageError: `too_large`, `not_json`, `not_finite`, `out_of_range` or `too_deep`.
        """
        if len(payload) > self._max_bytes:
            check_size(payload, self._max_bytes)
        try:
            return self._decode(payload)
        except RecursionError as error:
            raise MessageError("JSON is nested too deeply", code="too_deep") from error
        except msgspec.ValidationError as error:
            raise MessageError(f"JSON number: {error}", code="out_of_range") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            found = _NOT_A_NUMBER.search(payload)
            if found is not None:
                raise MessageError(
                    f"JSON expected finite numbers, found {found[1].decode()}",
                    code="not_finite",
                    hint="send null, or leave the value out, and choose a `missing` rule",
                ) from error
            raise MessageError(f"payload is not JSON: {error}", code="not_json") from error
