"""Reading the fields of a written object, and noting everything that is wrong with them, each with its JSON pointer."""

import re
from collections.abc import Sequence
from typing import Any

from orchestrator.domain.errors import Issue


def below(pointer: str, *parts: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of what lies below another."""
    return pointer + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


class Fields:
    """The fields of one object. What does not fit is noted and answered as if it were not there."""

    def __init__(self, value: Any, pointer: str, known: Sequence[str], issues: list[Issue]) -> None:
        """Notes the fields that are not `known`, or that it is no object."""
        self.pointer = pointer
        self._values: dict[str, Any] = value if isinstance(value, dict) else {}
        self._issues = issues
        if not isinstance(value, dict):
            issues.append(Issue(pointer, f"must be an object, with {', '.join(known)}"))
        for name in self._values:
            if name not in known:
                self.fault(name, f"is not a known field: remove it, or use one of {', '.join(known)}")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def fault(self, name: str, detail: str) -> None:
        self._issues.append(Issue(below(self.pointer, name), detail))

    def value(self, name: str, default: Any = None) -> Any:
        """Return it whatever it is; null is the same as nothing."""
        found = self._values.get(name)
        return default if found is None else found

    def text(self, name: str, *, longest: int = 200, required: bool = False) -> str:
        """Return a text, empty when there is none."""
        found = self.value(name)
        if isinstance(found, str) and 0 < len(found) <= longest:
            return found
        if found is not None:
            self.fault(name, f"must be a string of 1 to {longest} characters")
        elif required:
            self.fault(name, "is required")
        return ""

    def word(self, name: str, pattern: re.Pattern[str], meaning: str) -> str:
        """Return a text that has to be there and to match; `meaning` says how such a text looks."""
        found = self.text(name, required=True)
        if found and not pattern.fullmatch(found):
            self.fault(name, f"must be {meaning}")
            return ""
        return found

    def flag(self, name: str) -> bool:
        found = self.value(name, default=False)
        if not isinstance(found, bool):
            self.fault(name, "must be true or false")
        return found is True

    def whole_number(self, name: str, most: int) -> int | None:
        """Return a number from 0 to `most`."""
        found = self.value(name)
        if found is None or (isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= most):
            return found
        self.fault(name, f"must be a whole number from 0 to {most}")
        return None

    def seconds(self, name: str, most: float) -> float | None:
        """Return a number of seconds, more than 0."""
        found = self.value(name)
        if found is None:
            return None
        if isinstance(found, int | float) and not isinstance(found, bool) and 0 < found <= most:
            return float(found)
        self.fault(name, f"must be a number of seconds, more than 0 and at most {most:g}")
        return None
