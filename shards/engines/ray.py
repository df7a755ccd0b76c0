"""The engine of a Ray cluster: one task a job; a lost worker or machine is reported and never hidden by a retry of Ray's."""

import os
import signal
import time
from types import TracebackType
from typing import Any, Final, Self

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    RaySystemError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from unreel.shards.engines.engine import Died, Done, Event
from unreel.shards.engines.work import perform
from unreel.shards.errors import WorkerLost

__all__ = ["RayEngine"]

_GRACE_SECONDS: Final = 5.0
_AHEAD: Final = 2
"""Jobs in flight for each core: a core that is done finds the next one already sent."""
# What says that a process or a machine is gone, and not that a job failed.
_LOST: Final = (NodeDiedError, ObjectLostError, OutOfMemoryError, RaySystemError, WorkerCrashedError)


# Ray leaves some calls without types.
_cluster: Any = ray


class RayEngine:
    """Tasks of a Ray cluster.

    Jobs and outcomes are bytes of msgspec, and the work is a name that the worker imports; Ray itself pickles its own
    calls around them, between machines that already trust each other with everything.
    """

    def __init__(self, address: str | None = None, *, workers: int | None = None) -> None:
        """Join the cluster at `address`; with None, start one of this machine with `workers` cores.

        Raises:
            ValueError: there is no cluster at the address, or `workers` is given with an address.
        """
        if address is not None and workers is not None:
            raise ValueError(f"workers {workers} with address {address}: a cluster has the cores that it has")
        self._began = not ray.is_initialized()
        if self._began:
            _join(address, workers)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # On the machine of the builder, so that it outlives every worker.
        self._notes = _cluster.remote(num_cpus=0, scheduling_strategy=here)(_Notes).remote()
        self._running: dict[Any, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cancel()
        ray.kill(self._notes)
        if self._began:
            ray.shutdown()

    @property
    def has_room(self) -> bool:
        """True while fewer jobs are in flight than keep the cluster busy; a cluster may grow and shrink."""
        return len(self._running) < _AHEAD * max(1, int(_cluster.cluster_resources().get("CPU", 1)))

    def submit(self, ticket: int, work: str, job: bytes) -> None:
        """Send the job."""
        self._running[_perform.remote(work, job, self._notes, ticket)] = ticket

    def wait(self) -> Event:
        """The next end of a task."""
        (reference, *_), _ = ray.wait(list(self._running), num_returns=1)
        ticket = self._running.pop(reference)
        try:
            return Done(ticket, ray.get(reference))
        except _LOST as error:
            return self._died(ticket, error)
        except RayError as error:
            raise WorkerLost(f"Ray could not run a job: {error}") from error

    def _died(self, ticket: int, error: RayError) -> Died:
        source, node = ray.get(self._notes.take.remote(ticket))
        alive = {entry["NodeID"] for entry in _cluster.nodes() if entry["Alive"]}
        # A source can kill its worker and not the machine.
        blame = isinstance(error, WorkerCrashedError | OutOfMemoryError) and node in alive
        return Died(ticket, source, f"{type(error).__name__} on node {node[:8]}", blame=blame)

    def _cancel(self) -> None:
        """Tasks are interrupted, so that they remove what is half written; what stays on is killed."""
        running = list(self._running)
        for reference in running:
            ray.cancel(reference)
        until = time.monotonic() + _GRACE_SECONDS
        if running:
            _, running = ray.wait(
                running, num_returns=len(running), timeout=max(0.0, until - time.monotonic())
            )
        for reference in running:
            ray.cancel(reference, force=True)
        self._running = {}


class _Notes:
    """What each job was at last, and on which node. It is asked when a worker is gone."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[str, str]] = {}

    def put(self, ticket: int, source: str, node: str) -> None:
        self._last[ticket] = source, node

    def take(self, ticket: int) -> tuple[str, str]:
        return self._last.pop(ticket, ("", ""))


# No retries by Ray: each death is reported, counted and answered in one place for all engines.
@ray.remote(num_cpus=1, max_retries=0)
def _perform(work: str, job: bytes, notes: Any, ticket: int) -> bytes:
    node = ray.get_runtime_context().get_node_id()

    def note(source: str) -> None:
        # Waited for: a note that is still on its way when the process dies would blame the source before.
        ray.get(notes.put.remote(ticket, source, node))

    note("")
    return perform(work, job, note)


def _join(address: str | None, workers: int | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    former = signal.getsignal(signal.SIGTERM)
    try:
        if address is None:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address=address, log_to_driver=False)
    except ConnectionError as error:
        raise ValueError(f"address {address}: no Ray cluster answers there ({error})") from error
    finally:
        # Ray takes SIGTERM for itself; stopping in good order is the builder's.
        _give_back(former)


def _give_back(former: Any) -> None:
    try:
        signal.signal(signal.SIGTERM, former)
    except ValueError:
        # Only the main thread has signals to give back.
        return
