"""One trace id from the request that made a task to the requests its handler makes."""

from pytest_httpserver import HTTPServer

from orchestrator.domain.ids import DEFAULT_TENANT
from orchestrator.domain.states import State
from orchestrator.operations.request import Origin, TaskRequest
from tests.worker.conftest import House

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_the_trace_of_a_request_goes_on_in_what_its_handler_calls(house: House, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/there").respond_with_json({"ok": True})
    request = TaskRequest(type="http_request", payload={"url": httpserver.url_for("/there")})
    origin = Origin(DEFAULT_TENANT, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    task = (await house.intake.submit(request, origin)).task
    async with house.worker():
        ended = await house.ended(task)
    assert (ended.status, ended.trace_id) == (State.SUCCEEDED, TRACE)
    ((sent, _),) = httpserver.log
    assert sent.headers["traceparent"].split("-")[1] == TRACE
