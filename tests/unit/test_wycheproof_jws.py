"""Project Wycheproof's vectors for signed tokens, against our verifier and our three algorithms."""

from pathlib import Path
from typing import Any

import jwt
import orjson

from orchestrator.domain.errors import Unauthorized
from orchestrator.domain.jws import parse
from orchestrator.operations.signature_keys import SIGNED_BY, SignatureKey, read_public_key, shared_secret

GROUPS = [
    orjson.loads(line)
    for line in (Path(__file__).parents[1] / "fixtures" / "wycheproof_jws.jsonl").read_text().splitlines()
]
VECTORS = [(group["key"], *test) for group in GROUPS for test in group["tests"]]
MISLABELLED = {367, 370}
"""Called invalid for padding that the file does not have: byte for byte they are the valid 357."""
STRICTER = {259, 372, 373}
"""Called valid although the body is empty, which no claims are, or a `?` stands in the base64."""


def key_of(jwk: dict[str, Any]) -> SignatureKey | None:
    if jwk["kty"] != "oct":
        return read_public_key(jwk)
    secret = jwt.utils.base64url_decode(jwk["k"])
    return shared_secret(secret) if jwk.get("alg") == "HS256" and jwk.get("use", "sig") == "sig" else None


def accepts(jwk: dict[str, Any], text: str) -> bool:
    key = key_of(jwk)
    try:
        return key is not None and key.signed(parse(text))
    except Unauthorized:
        return False


def test_what_is_invalid_is_refused_and_what_is_valid_of_ours_is_accepted() -> None:
    good = {number for jwk, number, result, _, _ in VECTORS if result == "valid" and jwk.get("alg") in SIGNED_BY}
    assert {number for jwk, number, _, _, text in VECTORS if accepts(jwk, text)} == (good - STRICTER) | MISLABELLED
    assert len(good - STRICTER) == 17


def test_the_mislabelled_ones_are_the_valid_one() -> None:
    texts = {number: text for _, number, _, _, text in VECTORS}
    assert len(VECTORS) == 401
    assert {texts[number] for number in MISLABELLED} == {texts[357]}
    jwk = next(jwk for jwk, number, *_ in VECTORS if number == 357)
    head, body, signature = texts[357].split(".")
    assert accepts(jwk, texts[357])
    for padded in (f"{head}=.{body}.{signature}", f"{head}.{body}==.{signature}", f"{head}.{body}.{signature}="):
        assert not accepts(jwk, padded)
