"""/dead: dead letters, alone or by what killed them, and their replay."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.deps import PrincipalOf, RuntimeOf, authenticate, desk_of
from app.issues import validated
from app.openapi import body_schema
from app.render import answer, page, task_document
from app.request_body import BodyRoute, read_json
from orchestrator.domain.errors import InvalidInput, Issue
from orchestrator.domain.filters import DeadFilter
from orchestrator.domain.ids import TaskId, parse_task_id
from orchestrator.operations import read
from orchestrator.operations.replay import replay_dead
