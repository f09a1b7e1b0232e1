"""code_pr: have a model change a repository on GitHub, and open a pull request."""

from handlers.code_pr.handler import code_pr

__all__ = ["code_pr"]
