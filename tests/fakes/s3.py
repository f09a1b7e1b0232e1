"""S3 as MinIO and AWS speak it, as far as artifacts need it: path style, Signature Version 4 checked in full.

A signature made with another secret, over another path or another body is refused, and so is an expired link.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from xml.sax.saxutils import escape

from werkzeug import Request, Response

from tests.fakes.serving import serving

ACCESS_KEY = "minio-user"
SECRET_KEY = "minio-secret-canary"
REGION = "eu-central-1"
_STAMP = "%Y%m%dT%H%M%SZ"
_KEPT = ("Content-Type", "Content-Disposition")


@dataclass
class FakeS3:
    """Buckets that exist, what is in them, and what was asked."""

    url: str
    buckets: dict[str, dict[str, tuple[bytes, dict[str, str]]]]
    asked: list[str] = field(default_factory=list)
    """Method and path of every request, in order."""
    failing: list[int] = field(default_factory=list)
    """The next answers, by status, whatever is asked."""
    page: int = 1000

    def answer(self, request: Request) -> Response:
        request.get_data()  # all of it, also before a refusal: who is cut off while sending hears nothing
        self.asked.append(f"{request.method} {request.path}")
        if self.failing:
            status = self.failing.pop(0)
            return _error(status, {403: "AccessDenied", 503: "SlowDown"}.get(status, "InternalError"))
        if (refusal := _unsigned(request)) is not None:
            return refusal
        _, bucket, key = (*request.path.split("/", 2), "")[:3]
        if bucket not in self.buckets:
            return _error(404, "NoSuchBucket")
        return self._list(bucket, request) if not key else self._object(self.buckets[bucket], key, request)

    def _object(self, objects: dict[str, tuple[bytes, dict[str, str]]], key: str, request: Request) -> Response:
        if request.method == "PUT":
            kept = {name: request.headers[name] for name in _KEPT if name in request.headers}
            objects[key] = (request.get_data(), kept)
            return Response(headers={"ETag": _etag(objects[key][0])})
        if request.method == "DELETE":
            objects.pop(key, None)
            return Response(status=204)
        if key not in objects:
            return _error(404, "NoSuchKey")
        data, kept = objects[key]
        modified = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        response = Response(data, headers={**kept, "ETag": _etag(data), "Last-Modified": modified})
        if request.method == "HEAD":
            response.set_data(b"")
            response.headers["Content-Length"] = str(len(data))
        return response

    def _list(self, bucket: str, request: Request) -> Response:
        after = request.args.get("continuation-token") or request.args.get("start-after") or ""
        prefix = request.args.get("prefix", "")
        found = sorted(key for key in self.buckets[bucket] if key > after and key.startswith(prefix))
        shown = found[: self.page]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{_etag(self.buckets[bucket][key][0])}</ETag><Size>{len(self.buckets[bucket][key][0])}</Size></Contents>"
            for key in shown
        )
        more = len(found) > len(shown)
        token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more else ""
        return _xml(
            200,
            f"<ListBucketResult><Name>{bucket}</Name><KeyCount>{len(shown)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>",
        )


@contextmanager
def serve_s3(*buckets: str) -> Iterator[FakeS3]:
    fake = FakeS3("", {bucket: {} for bucket in buckets})
    with serving(fake.answer) as fake.url:
        yield fake


def _unsigned(request: Request) -> Response | None:
    """The refusal of a request that is not signed, or not with our secret."""
    if "X-Amz-Signature" in request.args:
        stamp, claimed = request.args["X-Amz-Date"], request.args["X-Amz-Signature"]
        until = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC) + timedelta(
            seconds=int(request.args["X-Amz-Expires"])
        )
        if until < datetime.now(UTC):
            return _error(403, "AccessDenied")
        credential, names, payload = request.args["X-Amz-Credential"], request.args["X-Amz-SignedHeaders"], None
    else:
        header = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)",
            request.headers.get("Authorization", ""),
        )
        if header is None:
            return _error(403, "AccessDenied")
        credential, names, claimed = header.groups()
        stamp, payload = request.headers["X-Amz-Date"], request.headers["X-Amz-Content-Sha256"]
        if payload not in ("UNSIGNED-PAYLOAD", hashlib.sha256(request.get_data()).hexdigest()):
            return _error(400, "XAmzContentSHA256Mismatch")
    access_key, scope = credential.split("/", 1)
    if access_key != ACCESS_KEY:
        return _error(403, "InvalidAccessKeyId")
    expected = _signature(request, scope, stamp, names, payload or "UNSIGNED-PAYLOAD")
    return None if hmac.compare_digest(expected, claimed) else _error(403, "SignatureDoesNotMatch")


def _signature(request: Request, scope: str, stamp: str, names: str, payload: str) -> str:
    query = "&".join(
        sorted(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
            for name, value in request.args.items(multi=True)
            if name != "X-Amz-Signature"
        )
    )
    headers = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in names.split(";"))
    path = quote(request.path, safe="/-_.~")
    canonical = "\n".join([request.method, path, query, headers, names, payload])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _error(status: int, code: str) -> Response:
    return _xml(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>")


def _xml(status: int, body: str) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>{body}', status, content_type="application/xml")


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
