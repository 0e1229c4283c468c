"""Hypothesis strategies for every struct of the contract, made from the structs themselves."""

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def any_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Instances of `kind` that satisfy its constraints."""
    return _strategy(inspect.type_info(kind))


def _strategy(info: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: C901 one case a type
    match info:
        case inspect.Metadata(type=inner):
            return _strategy(inner)
        case inspect.StructType():
            required = {f.name: _strategy(f.type) for f in info.fields}
            return st.fixed_dictionaries(required).map(lambda values: info.cls(**values))
        case inspect.StrType(pattern=str(pattern)):
            return st.from_regex(pattern.replace("$", r"\Z"))
        case inspect.StrType(min_length=low, max_length=high):
            return st.text(
                st.characters(exclude_categories=["Cs"]),
                min_size=low or 0,
                max_size=min(high or 20, 20),
            )
        case inspect.IntType(ge=low, le=high):
            return st.integers(low if low is not None else -(2**53), high or 2**53)
        case inspect.FloatType(ge=low, le=high):
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case inspect.UnionType(types=types):
            return st.one_of([_strategy(t) for t in types])
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_strategy(key), _strategy(value), max_size=3)
        case (
            inspect.VarTupleType(item_type=item, min_length=low)
            | inspect.ListType(item_type=item, min_length=low)
        ):
            made = st.lists(_strategy(item), min_size=low or 0, max_size=3)
            return made if isinstance(info, inspect.ListType) else made.map(tuple)
        case inspect.RawType():
            return st.sampled_from([msgspec.Raw(b'{"a":1}'), msgspec.Raw(b"[1,2]")])
        case inspect.CustomType() | inspect.AnyType():
            return st.one_of(st.integers(-5, 5), _TEXT)
    raise AssertionError(f"no strategy for {info}")
