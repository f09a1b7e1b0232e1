"""Every fault that a campaign draws from."""

from orchestrator.chaos.crash_faults import CRASH_FAULTS
from orchestrator.chaos.link_faults import LINK_FAULTS
from orchestrator.chaos.process_faults import PROCESS_FAULTS
from orchestrator.chaos.store_faults import STORE_FAULTS

CATALOGUE = (*PROCESS_FAULTS, *CRASH_FAULTS, *STORE_FAULTS, *LINK_FAULTS)
