"""Everything that can be wrong with a configuration, found all at once, before it hurts."""

from orchestrator.inspection.configuration import inspect
from orchestrator.inspection.finding import Finding

__all__ = ["Finding", "inspect"]
