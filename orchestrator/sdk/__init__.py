"""All a handler author imports: `task` makes a function a handler, a context is what it works with.

```python
from pydantic import BaseModel
from orchestrator.sdk import Context, task

class Resize(BaseModel):
    url: str
    width: int = 640

@task("resize", max_retries=3, timeout_seconds=60)
async def resize(payload: Resize, ctx: Context) -> dict:
    \"\"\"One line that the handler list shows.\"\"\"
    image = await ctx.step("fetch", fetch, payload.url)  # a retry does not fetch again
    return {"size": len(image)}                          # any JSON value: the result
```

Raise `Terminal` to fail for good and `Retry` to say when; anything else is retried with backoff.
"""

from orchestrator.domain.errors import Issue
from orchestrator.domain.subscription import Signed
from orchestrator.sdk.artifact import Artifact
from orchestrator.sdk.calls import Call, ChildFailed
from orchestrator.sdk.context import Config, Context, SyncContext, SyncHttp
from orchestrator.sdk.endings import Retry, Terminal
from orchestrator.sdk.handler import Handler, task
from orchestrator.sdk.model import (
    Message,
    ModelReply,
    ModelRequest,
    OnBudget,
    Provider,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)
from orchestrator.sdk.redaction import Redaction
from orchestrator.sdk.retry_after import retry_after_seconds, sent_at

__all__ = [
    "Artifact",
    "Call",
    "ChildFailed",
    "Config",
    "Context",
    "Handler",
    "Issue",
    "Message",
    "ModelReply",
    "ModelRequest",
    "OnBudget",
    "Provider",
    "Redaction",
    "Retry",
    "Signed",
    "SyncContext",
    "SyncHttp",
    "Terminal",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Usage",
    "retry_after_seconds",
    "sent_at",
    "task",
]
