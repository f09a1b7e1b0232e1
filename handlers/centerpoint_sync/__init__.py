"""centerpoint_sync: one run of a TypeScript script that brings records from one place into another.

The script runs in a process of its own, with the permissions that the manifest beside it declares and no others. It
talks over its standard input and output: what it prints becomes live events, and each checkpoint that it hands over is
kept before it is told so. A retry starts the script with the last checkpoint.
"""

from handlers.centerpoint_sync.handler import centerpoint_sync

__all__ = ["centerpoint_sync"]
