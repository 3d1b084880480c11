"""One fixed message of every kind, with every field set: what the golden bytes were made of.

Rules
- A sample never changes once its golden bytes are committed.  A new field gets a new version of the kind here only
  when an old reader can't ignore it; else the old bytes must still decode, and that is what the test says.
"""

from __future__ import annotations

from tiercast_protocol.wire import drift, facts, moving, power, site
from tiercast_protocol.wire import messages as m

D1, D2 = bytes(range(32)), bytes(range(32, 64))
ID = bytes(range(16))

SAMPLES: dict[str, m.Message] = {
    "transfer.hold.v1": m.Holds(
        seq=1_700_000_000_000,
        holds=[m.HoldEntry(job="j1-ab", node="site-a", until=1_700_000_100_000, by="root@server"), m.HoldEntry()],
    ),
    "inventory.v1": facts.Inventories(
        entries=[facts.InventoryEntry(node="desk-1", generation=2, seq=5, data=D1, signature=D1 + D2)]
    ),
    "woken.v1": power.Woken(jobs=["j1-ab", ""]),
    "inventory.same.v1": facts.InventorySame(generation=2, seq=5),
    "inventory.ask.v1": facts.InventoryAsk(whole=True, lists=[D1, D2]),
    "groups.told.v1": facts.GroupsTold(generation=2, seq=5, joined=["sales"], refused={"all": "it can't be joined"}),
    "job.shape.v1": m.JobShape(shape=D1 + D2, signature=D2 + D1),
    "ack.v1": m.Ack(ids=[ID, ID[::-1]]),
    "hello.v1": m.Hello(boot=ID, role="gateway", software="0.1.0", free=10**12),
    "gone.v1": m.Gone(boot=ID),
    "group.join.v1": m.GroupJoin(group=7, epoch=ID),
    "group.leave.v1": m.GroupLeave(group=7, epoch=ID),
    "group.joined.v1": m.GroupJoined(group=7, epoch=ID),
    "absent.v1": m.Absent(digests=D1 + D2, reason="not in the library"),
    "token.issued.v1": m.TokenIssued(
        token_id="t1", password_hash="$7$101$c2FsdA==$aGFzaA==", parent="site-a", expires=1_700_000_000_000
    ),
    "enrol.request.v1": m.EnrolRequest(
        token_id="t1",
        name="desk-1",
        role="endpoint",
        public_key=D1,
        password_hash="$7$1$a$b",
        proof=D2,
        signature=D1 + D2,
    ),
    "enrol.reply.v1": m.EnrolReply(
        token_id="t1", accepted=True, credential=b"credential", signature=D1 + D2, code="none", reason="welcome"
    ),
    "node.admitted.v1": m.Admitted(
        name="desk-1",
        role="endpoint",
        parent="site-a",
        public_key=D1,
        password_hash="$7$1$a$b",
        generation=2,
        token_id="t1",
    ),
    "node.dismissed.v1": m.Dismissed(name="desk-1"),
    "parents.v1": moving.ParentsTold(data=b"parents", signature=D1 + D2),
    "node.placed.v1": moving.Placed(
        node="site-a",
        data=b"placing",
        signature=D1 + D2,
        below=[moving.Below(node="desk-1", parent="site-a", public_key=D1, generation=2, seq=9)],
    ),
    "node.left.v1": moving.Left(node="desk-1", parent="site-b", seq=9),
    "guest.ask.v1": moving.GuestAsked(nonce=ID, enter=True, size=32768),
    "guest.answer.v1": moving.GuestAnswered(nonce=ID, granted=True, wait=60, reason="full", filler=D1),
    "starts.held.v1": site.StartsHeld(
        seq=9,
        held=[site.HeldRollout(rollout="r3-ab12", site="site-a", since=1_700_000_000_000, have="3 of 40", limit="5%")],
    ),
    "breaker.told.v1": site.BreakerTold(node="site-a", data=b"trip", signature=D1 + D2),
    "site.order.v1": site.SiteOrder(
        order=b"order", signature=D1 + D2, vouchers=[m.OrderTarget(node="site-a", index=3, proof=[D1])]
    ),
    "site.joined.v1": site.SiteJoined(node="site-a", entries=[site.Vouched(data=b"voucher", signature=D1 + D2)]),
    "site.groups.v1": site.GroupsTold(data=b"regrouped", signature=D1 + D2),
    "windows.told.v1": site.WindowsTold(data=b"windows", signature=D1 + D2),
    "breakers.opened.v1": site.BreakersOpened(data=b"again", signature=D1 + D2),
    "assigned.v1": drift.Assigned(name="editor", seq=4, requires="editor >= 2.1", lacks=True, nodes=["desk-1"]),
    "drift.told.v1": drift.DriftTold(
        node="site-a",
        name="editor",
        of=4,
        at=1_700_000_000_000,
        counts={"holds": 39, "wrong": 1},
        some=[("desk-1", "wrong", "2.0")],
    ),
    "order.v1": m.OrderBundle(
        order=b"order", signature=D1 + D2, targets=[m.OrderTarget(node="desk-1", index=3, proof=[D1, D2])]
    ),
    "patch.offer.v1": m.PatchOffers(offers=[m.PatchOffer(base=D1, result=D2, patch=D1, size=70_000, plain=900_000)]),
    "status.v1": m.Status(
        records=[
            m.StatusRecord(
                job="job-7",
                revision=1,
                target="desk-1",
                attempt=2,
                seq=40,
                state="failed",
                at=1_700_000_000_000,
                code="program.failed",
                detail="before.sh ended with 3",
                done=5,
                total=10,
                receipt=b"receipt",
                signature=D1 + D2,
            ),
            m.StatusRecord(job="job-7", revision=1, target="desk-2", attempt=1, seq=1, state="waiting", at=1),
        ]
    ),
    "query.v1": m.Query(verb="depot.show", args={"node": "site-a", "limit": 5}),
    "answer.v1": m.Answer(query=ID, result={"bytes": 5, "names": ["a"]}, error={"code": "none"}),
    "transfer.report.v1": m.Report(
        session=2**63, received=10**10, window=8 << 20, mark=3, wants=D1 + D2, repairs=[(D1, 0, 65_536)], drops=D2
    ),
}
