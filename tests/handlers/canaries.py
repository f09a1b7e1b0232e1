"""Secrets that must not be seen again, and a watch over everything that a run of a task leaves behind."""

import base64
import logging
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator.settings import Settings
from orchestrator.telemetry.redaction import names_secret
from orchestrator.telemetry.spans import Spans
from orchestrator.testing import TaskRun

_SPELLED = {"aurea_encryption_keys": f"k1:{b64encode(b'canary-of-the-encryption-keys-q7').decode()}"}
"""Those that are refused when they are not spelled as such."""
PLANTED = {
    name.upper(): f"canary-of-{name}-q7Zx"
    for name, field in Settings.model_fields.items()
    if "SecretStr" in str(field.annotation) and not name.endswith("_url") and name not in _SPELLED
}
PLANTED |= {name.upper(): spelled for name, spelled in _SPELLED.items()}
"""A value for every secret variable there is, none of them right."""

_NEVER_WRITTEN = ("werkzeug", "httpx2", "httpcore2")
"""The log of the fakes' server, and two that the system's logging keeps quiet."""


class Watch:
    """What was seen while it was on: runs, logs of every library, standard output and error, spans."""

    def __init__(self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
        self._caplog = caplog
        self._capfd = capfd
        self._spans = InMemorySpanExporter()
        self._seen: list[str] = []
        self._secrets = set(PLANTED.values())

    @contextmanager
    def on(self) -> Iterator[None]:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._spans))
        spans = Spans(provider)
        try:
            with self._caplog.at_level(logging.DEBUG):
                yield
        finally:
            spans.stop()

    def config(self, *given: Mapping[str, str], **more: str) -> dict[str, str]:
        """Return a worker's configuration that has every secret; those that are given are watched, too."""
        config = {**PLANTED, **{name: value for part in given for name, value in part.items()}, **more}
        self.look_for(*(value for name, value in config.items() if names_secret(name)))
        return config

    def look_for(self, *secrets: str) -> None:
        self._secrets |= {line for secret in secrets for line in secret.split() if len(line) > 7}

    def saw(self, *runs: TaskRun) -> None:
        for run in runs:
            told = (run.logs, run.progress, run.tokens, run.steps, run.submitted, run.artifacts, run.requests)
            self._seen.append(repr((run.result, run.error, run.outcome, told)))

    def leaks(self) -> list[str]:
        """Return the secrets that can be read anywhere, plain or in a usual disguise, with what stands around them."""
        printed = self._capfd.readouterr()
        ours = [record for record in self._caplog.records if record.name.partition(".")[0] not in _NEVER_WRITTEN]
        logged = [f"{record.getMessage()} {record.exc_text} {record.__dict__}" for record in ours]
        spans = [span.to_json() for span in self._spans.get_finished_spans()]
        text = "\n".join([*self._seen, printed.out, printed.err, *logged, *spans])
        found = ((form, text.find(form)) for secret in self._secrets for form in _forms(secret))
        return [f"{form}: {text[max(0, at - 200) : at + 100]}" for form, at in found if at >= 0]


def _forms(secret: str) -> set[str]:
    """As it is, inside a URL, and in base64 wherever it begins there."""
    forms = {secret, quote(secret, safe="")}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")
        forms.add(encoded[before + 1 if before else 0 : -2])
    return forms
