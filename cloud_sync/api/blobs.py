"""`/v1/blobs`: upload and download of files by digest, streamed both ways."""

import time
from typing import Annotated, Any

import anyio.to_thread
from litestar import Controller, MediaType, Request, Response, get, head, post, put
from litestar.datastructures import State
from litestar.params import FromPath, HeaderParameter, JSONBody
from litestar.response import Stream

from cloud_sync.api.parts import GivenParts
from cloud_sync.api.ranges import choose_span
from cloud_sync.errors import InvalidInput
from cloud_sync.objects import CHUNK_BYTES, Upload
from cloud_sync.resources import BlobQuery, MissingBlobs
from edge_agent.contract.names import check_digest

MEDIA_TYPE = "application/octet-stream"
RangeHeader = Annotated[str | None, HeaderParameter(name="Range")]
IfRangeHeader = Annotated[str | None, HeaderParameter(name="If-Range")]


class BlobController(Controller):
    """Files by the sha256 of their bytes."""

    path = "/v1/blobs"
    tags = ("blobs",)

    @post("/missing", status_code=200, sync_to_thread=True)
    def missing(self, parts: GivenParts, data: JSONBody[BlobQuery]) -> MissingBlobs:
        """Which of these blobs have to be uploaded."""
        return MissingBlobs(missing=parts.blobs.missing(data.digests))

    # The body is bounded by our own limit while it streams, not by the framework's.
    @put("/{digest:str}", request_max_body_size=None, status_code=201)
    async def upload(
        self, parts: GivenParts, digest: FromPath[str], request: Request[Any, Any, State]
    ) -> Response[bytes]:
        """Upload a blob: the raw bytes. 201 if it is new, 200 if it was there."""
        check_digest(digest)
        size = _announced(request.headers.get("content-length"))
        upload = await anyio.to_thread.run_sync(
            lambda: parts.blobs.objects.begin(digest, size=size, limit_bytes=parts.max_blob_bytes)
        )
        try:
            await _receive(request, upload)
            is_new = await anyio.to_thread.run_sync(parts.blobs.commit, upload, digest, time.time())
        finally:
            # After a commit there is nothing left to abort.
            await anyio.to_thread.run_sync(upload.abort)
        return Response(b"", status_code=201 if is_new else 200, media_type=MEDIA_TYPE)

    @get(
        "/{digest:str}",
        sync_to_thread=True,
        media_type=MEDIA_TYPE,
    )
    def download(
        self,
        parts: GivenParts,
        digest: FromPath[str],
        range_header: RangeHeader = None,
        if_range: IfRangeHeader = None,
    ) -> Response[Any]:  # Any: a stream or nothing
        """Download a blob, or a part of it: `Range` and `If-Range` work."""
        size = parts.blobs.size(check_digest(digest))
        headers = _headers(digest)
        span = choose_span(size, headers["ETag"], range_header, if_range)
        if span is None:
            return Response(
                b"", status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"}
            )
        headers["Content-Length"] = str(span.length)
        if span.is_partial:
            last = span.start + span.length - 1
            headers["Content-Range"] = f"bytes {span.start}-{last}/{size}"
        return Stream(
            parts.blobs.objects.read(digest, span.start, span.length),
            status_code=206 if span.is_partial else 200,
            headers=headers,
            media_type=MEDIA_TYPE,
        )

    @head("/{digest:str}", sync_to_thread=True)
    def look(self, parts: GivenParts, digest: FromPath[str]) -> Response[None]:
        """Whether a blob is stored, and its size."""
        size = parts.blobs.size(check_digest(digest))
        headers = {**_headers(digest), "Content-Length": str(size), "Content-Type": MEDIA_TYPE}
        # As text, None has no body; as anything else the framework cannot write it.
        return Response(None, headers=headers, media_type=MediaType.TEXT)


def _headers(digest: str) -> dict[str, str]:
    return {
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "public, max-age=31536000, immutable",
    }


def _announced(header: str | None) -> int | None:
    if header is None:
        return None
    if not header.isdecimal():
        raise InvalidInput(
            f"Content-Length expected a number of bytes, found {header!r}",
            hint="send the length in bytes, or chunks without it",
        )
    return int(header)


async def _receive(request: Request[Any, Any, State], upload: Upload) -> None:
    """Write the body to disk a megabyte at a time, off the event loop."""
    waiting = bytearray()
    async for piece in request.stream():
        waiting += piece
        if len(waiting) >= CHUNK_BYTES:
            await anyio.to_thread.run_sync(upload.write, bytes(waiting))
            waiting.clear()
    if waiting:
        await anyio.to_thread.run_sync(upload.write, bytes(waiting))
