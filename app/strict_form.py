"""Strict forms at the door: `application/x-www-form-urlencoded`, each field once, in characters that can be kept."""

from urllib.parse import parse_qsl

from orchestrator.domain.errors import InvalidInput, Issue, NotJson

MEDIA_TYPE = b"application/x-www-form-urlencoded"
_MOST_FIELDS = 100


def is_form(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == MEDIA_TYPE


def parse_form(body: bytes) -> dict[str, str]:
    """Return the fields. Raises NotJson for what is no form, InvalidInput for a field that is sent twice."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=_MOST_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise NotJson("the body is not a form: send fields in UTF-8, percent-encoded") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidInput("the form has a field twice", [Issue("", "send each field once")])
    unfit = next((name for name, value in pairs if "\x00" in name + value), None)
    if unfit is not None:
        raise InvalidInput("the form holds the character U+0000, which cannot be stored", [Issue("", "remove it")])
    return fields
