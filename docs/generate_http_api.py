"""Write `docs/reference/http-api.md` from the service's own OpenAPI description.

    python docs/generate_http_api.py

A test fails when the page is out of date.
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "http-api.md"

INTRODUCTION = """\
# HTTP API

Written by `python docs/generate_http_api.py` from the code; do not edit it by hand. The service
gives the same as OpenAPI at `/v1/openapi.json`; [cloud_sync/client](../../cloud_sync/client) is the
Python SDK over it.

Bodies and answers are JSON; their types are the structs of
[cloud_sync/resources.py](../../cloud_sync/resources.py). Times are seconds since 1970. The header
`X-Shoal-Actor` says who asks and `X-Shoal-Reason` why, for the audit log. Every answer above 399 is
a `Problem`: `{code, text, hint}`.

| status | what it means |
|---|---|
| 400 | the request is wrong: it must be changed before it is sent again |
| 404 | something that was named does not exist |
| 409 | the state of the system forbids it now: a name or file is in use, for example |
| 413 | the body is too large |
| 422 | the bytes are not those that were promised |
| 503 | a part of the service is away: try again |
| 507 | the service's disk is full |
"""


def main() -> int:
    """Write the page."""
    PAGE.write_text(page())
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def page() -> str:
    """The whole reference."""
    sys.path.insert(0, str(ROOT))
    from cloud_sync.api.site import build

    # No request is made, so no part is ever asked for; a bound is looked at while building.
    parts: Any = SimpleNamespace(max_downloads=1)
    described = build(parts, "0").openapi_schema.to_schema()
    groups: dict[str, list[str]] = {}
    for path, methods in sorted(described["paths"].items()):
        for method in ("get", "head", "post", "put", "patch", "delete"):
            if method in methods:
                operation = methods[method]
                group = path.split("/")[2]
                groups.setdefault(group, []).append(_row(method, path, operation))
    tables = [
        f"\n## {group}\n\n| request | query | body | answer | what |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        for group, rows in sorted(groups.items())
    ]
    return INTRODUCTION + "\n".join(tables) + "\n"


def _row(method: str, path: str, operation: dict[str, Any]) -> str:  # Any: OpenAPI as JSON
    query = ", ".join(
        f"`{p['name']}`" for p in operation.get("parameters", ()) if p["in"] == "query"
    )
    body = _type(operation.get("requestBody", {}).get("content", {}))
    good = next((r for code, r in operation["responses"].items() if code.startswith("2")), {})
    answer = _type(good.get("content", {}))
    what = " ".join((operation.get("description") or operation.get("summary") or "").split())
    return f"| `{method.upper()} {path}` | {query} | {body} | {answer} | {what} |"


def _type(content: dict[str, Any]) -> str:
    for kind, described in content.items():
        schema = described.get("schema", {})
        name = _name(schema)
        if name:
            return name
        return "bytes" if "json" not in kind else ""
    return ""


def _name(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[-1].rsplit('_', 1)[-1]}`"
    if schema.get("type") == "array":
        return f"list of {_name(schema.get('items', {}))}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
