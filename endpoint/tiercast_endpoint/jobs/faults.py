"""What goes wrong in a step, as the event that its job's machine knows.

Rules
- Errors of the disk, the package and the stores become `StepFailed` with a stable code; anything else is a bug of ours,
  is logged, and fails the job with the code `agent.bug`, for a job must end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from tiercast_endpoint.jobs.events import Event, StepFailed
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.story import Step
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees.materials import Failed
from tiercast_endpoint.trees.tree import TreeError
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, ConfigError, ProtocolError, StoreFull
from tiercast_protocol.node.files import is_full

log = structlog.get_logger(__name__)


async def translated(  # noqa: PLR0911 - one per error
    job: Job, step: Step, act: Callable[[], Awaitable[tuple[Job, Event]]], free: Callable[[], int]
) -> tuple[Job, Event]:
    """What `act` returns; errors of disk, package and stores as a failed step.  `free` is asked when a disk is full."""
    try:
        return await act()
    except Failed as error:
        return job, StepFailed(step, error.code, error.detail)
    except TreeError as error:
        return job, StepFailed(step, error.code, error.detail)
    except StoreFull as error:
        return job, StepFailed(step, "disk.full", f"{error.needed} bytes were to be stored, {error.free} are free.")
    except ChunkMissing as error:
        return job, StepFailed(step, "chunk.missing", f"{error}, nor by any tier above.")
    except (ProtocolError, ConfigError, ChunkCorrupt) as error:
        return job, StepFailed(step, "package.invalid", str(error))
    except OSError as error:
        if is_full(error):
            left = await in_thread(free)
            return job, StepFailed(step, "disk.full", f"The disk was full while writing; {left} bytes are free now.")
        return job, StepFailed(step, "disk.error", f"{error.strerror} ({type(error).__name__})")
    except Exception as error:
        # A job must end, whatever is wrong with us.
        log.exception("step failed", step=step, job=job.job)
        detail = f"The agent failed ({type(error).__name__}); its log has the details."
        return job, StepFailed(step, "agent.bug", detail)
