"""Conditions (CEL) and templates (sandboxed Jinja2) for handlers that work by rules.

Apart from the rest of the SDK, because loading both libraries takes half a second: import it where it is used.
"""

from orchestrator.domain.conditions import BadCondition, Condition, Facts, Unanswerable
from orchestrator.domain.templates import BadTemplate, Template

__all__ = ["BadCondition", "BadTemplate", "Condition", "Facts", "Template", "Unanswerable"]
