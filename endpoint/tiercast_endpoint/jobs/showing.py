"""A job of this machine as its socket, and those above, are shown it: a plain map."""

from __future__ import annotations

from tiercast_endpoint.jobs.install import STATE_OF, Step
from tiercast_endpoint.jobs.journal import Job
from tiercast_protocol.content.jobs.reason import told


def describe(job: Job) -> dict[str, object]:
    """A job as the control socket shows it."""
    return {
        "job": job.job,
        "revision": job.revision,
        "type": job.type,
        "package": job.package,
        "version": job.version,
        "root": job.root.hex(),
        "state": job.state,
        "code": job.code,
        "detail": told(job.code, job.detail),
        "step": "" if job.finished else STATE_OF.get(job.snapshot.step, Step.END.value),
        "done": job.done,
        "total": job.total,
        "seq": job.seq,
        "issued": job.issued,
        "expires": job.expires,
        "started": job.started,
        "finished": job.finished,
        "reported": job.reported,
        "programs": [
            {"argv": p.argv, "exit": p.exit, "timed_out": p.timed_out, "seconds": p.seconds, "output": p.output}
            for p in job.programs
        ],
        "actions": [{"action": a.action, "did": a.did, "seconds": a.seconds} for a in job.actions],
    }
