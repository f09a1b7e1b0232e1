"""One worker process: the claim loop, its attempts, their journal and the heartbeat, started and stopped in order."""

import asyncio
import os
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import structlog

from orchestrator.domain.ids import TaskId, WorkerId
from orchestrator.domain.retry import is_suspect
from orchestrator.domain.subscription import DELIVERIES
from orchestrator.domain.task import Claim
from orchestrator.operations.purse import Purse
from orchestrator.operations.request import Origin, TaskRequest
from orchestrator.operations.seal import open_claim
from orchestrator.operations.submit import Intake
from orchestrator.queue.presence import WorkerCard
from orchestrator.runtime import Runtime
from orchestrator.telemetry.traces import outgoing_headers
from orchestrator.worker.attempts import Attempts
from orchestrator.worker.bench import Bench, Submission
from orchestrator.worker.executor import Executor
from orchestrator.worker.heartbeat import Connections, Heartbeat
from orchestrator.worker.journal import Journal
from orchestrator.worker.lane import Lane, served
from orchestrator.worker.recorder import Recorder
from orchestrator.worker.services import KeptSteps, Services
from orchestrator.worker.threads import Threads
from orchestrator.worker.worker import Worker

_log = structlog.get_logger("orchestrator.service")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a worker is told about itself."""

    worker: WorkerId
    version: str
    concurrency: int
    queues: tuple[str, ...]
    grace_seconds: float
    allow_private: tuple[str, ...]


class WorkerService:
    """`run` returns after `stop`, when everything is settled or given back; a second `stop` ends the grace.

    When the claim loop fails, everything is given back at once, and `run` raises its error.
    """

    def __init__(self, runtime: Runtime, facts: Facts, connections: Connections) -> None:
        self._runtime = runtime
        self._facts = facts
        self._intake = Intake(runtime)
        self._recorder = Recorder(runtime, facts.worker)
        self._purse = Purse(runtime, self._recorder.confirm)
        self._journal = Journal(runtime, facts.worker, self._recorder)
        self._threads = Threads()
        executor = Executor(runtime.handlers, self._bench())
        self._attempts = Attempts(runtime, facts.worker, executor, self._journal, self._recorder, facts.concurrency)
        self._loops = self._claim_loops()
        self._heartbeat = Heartbeat(
            connections,
            facts.worker,
            self._attempts.held,
            self._attempts.lose,
            _Card(facts, self._attempts, runtime),
            runtime.limits.lease_ms,
            runtime.clock,
        )
        self._stops = 0

    async def run(self) -> None:
        # Closed in reverse, whatever one of them does. The heart beats until the last lease is settled: a worker that
        # drains is alive.
        async with AsyncExitStack() as closing:
            closing.callback(self._threads.close)
            self._heartbeat.start()
            closing.push_async_callback(self._heartbeat.stop)
            self._intake.start()
            closing.push_async_callback(self._intake.stop)
            self._purse.start()
            closing.push_async_callback(self._purse.stop)
            self._journal.start()
            closing.push_async_callback(self._journal.stop)
            self._attempts.open()
            self._runtime.subscriptions.on_control(self._hear)
            _log.info("worker_started", worker_id=self._facts.worker, concurrency=self._facts.concurrency)
            grace_seconds = 0.0
            try:
                await self._claim()
                grace_seconds = self._facts.grace_seconds
            finally:
                _log.info("worker_leaves", worker_id=self._facts.worker, running=self._attempts.running)
                await self._attempts.close(0 if self._stops > 1 else grace_seconds)

    def stop(self) -> None:
        self._stops += 1
        for loop in self._loops:
            loop.stop()
        if self._stops > 1:
            self._attempts.release()

    def _hear(self, message: dict[str, object]) -> None:
        dropped = message.get("drop")
        if isinstance(dropped, list):
            self._attempts.drop(dropped)
        for loop in self._loops:
            loop.heard(message)

    def _claim_loops(self) -> list[Worker]:
        """One for deliveries and one for everything else, as far as this worker serves them."""
        runtime, worker, queues = self._runtime, self._facts.worker, served(self._facts.queues)
        others = tuple(queue for queue in queues if queue != DELIVERIES)
        loops = []
        if others or not queues:
            loops.append(Worker(runtime, worker, self._attempts, others, {DELIVERIES}))
        if DELIVERIES in queues or not queues:
            loops.append(Worker(runtime, worker, Lane(self._attempts), (DELIVERIES,)))
        return loops

    async def _claim(self) -> None:
        """Run the claim loops until they are stopped; when one fails, the other ends as well."""
        running = [asyncio.create_task(loop.run()) for loop in self._loops]
        try:
            await asyncio.gather(*running)
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _bench(self) -> Bench:
        runtime = self._runtime
        return Bench(
            clock=runtime.clock,
            journal=self._journal,
            steps=KeptSteps(runtime),
            submit=self._submit,
            services=Services(runtime, self._purse, self._recorder),
            http=lambda: runtime.http,
            config=runtime.config,
            max_result_bytes=runtime.limits.max_result_bytes,
            allow_private=self._facts.allow_private,
            http_headers=outgoing_headers,
            threads=self._threads,
            open=partial(open_claim, runtime.vault),
            begun=self._begun,
        )

    def _begun(self, claim: Claim) -> None:
        """A suspect is on record as running from when its handler begins, not while its process starts."""
        if is_suspect(claim.entry.crashes):
            self._recorder.watch(claim)

    async def _submit(self, claim: Claim, submission: Submission) -> TaskId:
        request = TaskRequest(
            type=submission.type,
            payload=submission.payload,
            idempotency_key=submission.key,
            priority=submission.priority,
            queue=submission.queue,
            delay_seconds=submission.delay_seconds,
            max_retries=submission.max_retries,
            timeout_seconds=submission.timeout_seconds,
        )
        origin = Origin(claim.entry.tenant, claim.entry.traceparent, claim.entry.id, child_id=submission.child_id)
        return (await self._intake.submit(request, origin)).task.id


class _Card:
    """What the list of workers shows of this one, as of now."""

    def __init__(self, facts: Facts, attempts: Attempts, runtime: Runtime) -> None:
        self._facts = facts
        self._attempts = attempts
        self._started_at = runtime.clock.now()

    def __call__(self) -> WorkerCard:
        return WorkerCard(
            id=self._facts.worker,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self._facts.version,
            queues=served(self._facts.queues),
            concurrency=self._facts.concurrency,
            started_at=self._started_at,
            running=self._attempts.tasks(),
        )
