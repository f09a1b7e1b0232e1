"""/handlers: every task type that can be asked for."""

from typing import Any

from fastapi import APIRouter, Response

from app.deps import PrincipalOf, RuntimeOf
from app.render import page
