"""Supabase Storage as its API answers: the service key checked, refusals as 400 with the real status in the body."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from werkzeug import Request, Response

from tests.fakes.serving import serving

SERVICE_KEY = "sb_secret_storage-canary"
_AT = "2026-01-01T00:00:00.000Z"


@dataclass
class FakeSupabase:
    """Buckets that exist, what is in them, and what was asked."""

    url: str
    buckets: dict[str, dict[str, tuple[bytes, str]]]
    asked: list[str] = field(default_factory=list)
    failing: list[int] = field(default_factory=list)
    """The next answers, by status, whatever is asked."""
    page: int = 1000
    lifetime_seconds: int = 0
    """Of the links that were asked for last."""
    _signed: dict[str, str] = field(default_factory=dict)

    def answer(self, request: Request) -> Response:
        request.get_data(parse_form_data=True)  # all of it: who is cut off while sending hears nothing
        self.asked.append(f"{request.method} {request.path}")
        if self.failing:
            return Response("upstream", self.failing.pop(0), content_type="text/html")
        path = request.path.removeprefix("/storage/v1/object/")
        if request.method == "GET" and path.startswith("sign/"):
            return self._follow(path.removeprefix("sign/"), request)
        if request.headers.get("Authorization") != f"Bearer {SERVICE_KEY}" or "apikey" not in request.headers:
            return _refusal(403, "Unauthorized", "Invalid Compact JWS")
        verb = next((each for each in ("list-v2", "sign", "info") if path.startswith(f"{each}/")), "")
        bucket, _, key = path.removeprefix(f"{verb}/").partition("/")
        if bucket not in self.buckets:
            return _refusal(404, "Bucket not found", "Bucket not found")
        return self._act(request, verb, bucket, key)

    def _act(self, request: Request, verb: str, bucket: str, key: str) -> Response:
        objects = self.buckets[bucket]
        match request.method, verb:
            case "POST", "list-v2":
                return self._list(objects, request.get_json())
            case "POST", "sign":
                self.lifetime_seconds = int(request.get_json()["expiresIn"])
                return _json([self._sign(bucket, each) for each in request.get_json()["paths"]])
            case "POST", _:
                return self._upload(objects, bucket, key, request)
            case "DELETE", _:
                gone = [name for name in request.get_json()["prefixes"] if objects.pop(name, None)]
                return _json([{"name": name} for name in gone])
            case _ if key not in objects:
                return _refusal(404, "not_found", "Object not found")
            case _, "info":
                return _json({"name": key, "size": len(objects[key][0])})
        return Response(objects[key][0], content_type=objects[key][1])

    def _upload(self, objects: dict[str, tuple[bytes, str]], bucket: str, key: str, request: Request) -> Response:
        if key in objects and request.headers.get("x-upsert") != "true":
            return _refusal(409, "Duplicate", "The resource already exists")
        sent = request.files["file"]
        objects[key] = (sent.stream.read(), sent.content_type)
        return _json({"Id": "1", "Key": f"{bucket}/{key}"})

    def _sign(self, bucket: str, key: str) -> dict[str, str | None]:
        if key not in self.buckets[bucket]:
            return {"error": "Either the object does not exist or you do not have access to it", "path": key} | {
                "signedURL": None
            }
        token = secrets.token_urlsafe(8)
        self._signed[token] = f"{bucket}/{key}"
        return {"error": None, "path": key, "signedURL": f"/object/sign/{bucket}/{key}?token={token}"}

    def _follow(self, path: str, request: Request) -> Response:
        if self._signed.get(request.args.get("token", "")) != path:
            return _refusal(400, "InvalidSignature", "The url do not match the signature")
        bucket, _, key = path.partition("/")
        data, kind = self.buckets[bucket][key]
        saved_as = request.args.get("download", "")
        return Response(data, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{saved_as}"'})

    def _list(self, objects: dict[str, Any], wanted: dict[str, Any]) -> Response:
        found = sorted(name for name in objects if name > wanted.get("cursor", ""))
        shown = found[: min(self.page, wanted["limit"])]
        more = len(found) > len(shown)
        rows = [
            {"id": "1", "name": name, "key": name, "updated_at": _AT, "created_at": _AT, "metadata": {}}
            for name in shown
        ]
        return _json({"hasNext": more, "folders": [], "objects": rows, **({"nextCursor": shown[-1]} if more else {})})


@contextmanager
def serve_supabase(*buckets: str) -> Iterator[FakeSupabase]:
    fake = FakeSupabase("", {bucket: {} for bucket in buckets})
    with serving(fake.answer) as fake.url:
        yield fake


def _refusal(status: int, error: str, message: str) -> Response:
    return _json({"statusCode": str(status), "error": error, "message": message}, 400)


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, content_type="application/json")
