"""The times of a job on one machine: what waits, for what, until when."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_endpoint.jobs.gate import Gate, share_of
from tiercast_protocol.content.jobs import times as t
from tiercast_protocol.content.jobs.reason import words
from tiercast_protocol.transfer import calendar

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo | None = None) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp() * 1000)


def gate(*, share: float = 0.0, observed_s: float = 0.0, issued: int = 0, **options: object) -> Gate:
    return Gate(t.read(options), issued, share, observed_s, UTC)


def test_without_times_nothing_waits() -> None:
    assert Gate().before_transfer(0) is None
    assert Gate().before_installation(0) is None
    assert Gate().ends(5) is None


def test_two_times() -> None:
    one = gate(distribute_at=1000, install_at=5000)
    for now, first, second in ((999, "time.distribute", "time.install"), (1000, "", "time.install"), (5000, "", "")):
        waits = (one.before_transfer(now), one.before_installation(now))
        assert tuple(wait.code if wait else "" for wait in waits) == (first, second)
    assert one.before_installation(999).until == 5000  # type: ignore[union-attr]


def test_fetching_is_spread_after_it_may_begin() -> None:
    one = gate(share=0.25, issued=1000, fetch_spread_s=100)
    wait = one.before_transfer(25_999)
    assert wait is not None
    assert (wait.code, wait.until) == ("time.spread", 26_000)
    assert one.before_transfer(26_000) is None
    assert one.before_installation(1000) is None, "what is here is installed at once"
    later = gate(share=0.25, issued=1000, fetch_spread_s=100, distribute_at=50_000)
    assert [wait.code for now in (49_999, 50_000) if (wait := later.before_transfer(now))] == [
        "time.distribute",
        "time.spread",
    ]
    assert later.before_transfer(75_000) is None


def test_a_window_says_when_it_opens_and_when_it_is_too_short() -> None:
    one = gate(install_window="daily 22:00-23:00 utc", max_duration_s=1800)
    shut = one.before_installation(at("2026-11-21 12:00"))
    assert shut is not None
    assert (shut.code, shut.until) == ("window.shut", at("2026-11-21 22:00"))
    assert one.before_installation(at("2026-11-21 22:30")) is None
    short = one.before_installation(at("2026-11-21 22:31"))
    assert short is not None
    assert (short.code, short.until) == ("window.short", at("2026-11-22 22:00"))
    assert "1,800 s" in words(short)
    assert "1,740 s" in words(short)


def test_what_was_observed_counts_where_nothing_is_declared() -> None:
    one = gate(install_window="daily 22:00-23:00 utc", observed_s=3000)
    assert one.before_installation(at("2026-11-21 22:05")) is None
    assert one.before_installation(at("2026-11-21 22:15")).code == "window.short"  # type: ignore[union-attr]


def test_what_never_fits_waits_without_an_end() -> None:
    one = gate(install_window="daily 22:00-23:00 utc", max_duration_s=7200)
    wait = one.before_installation(at("2026-11-21 22:00"))
    assert wait is not None
    assert (wait.code, wait.until) == ("window.short", 0)


def test_local_windows_over_summer_time() -> None:
    one = Gate(t.read({"install_window": "daily 02:00-03:00"}), zone=BERLIN)
    # 29 March 2026: 02:00 to 03:00 does not exist; the window opens again on the 30th.
    wait = one.before_installation(at("2026-03-29 00:30"))
    assert wait is not None
    assert wait.until == at("2026-03-30 02:00", BERLIN)
    # 25 October 2026: the hour comes twice, and the window is open in both.
    assert one.before_installation(at("2026-10-25 00:30")) is None
    assert one.before_installation(at("2026-10-25 01:30")) is None
    assert one.before_installation(at("2026-10-25 02:30")) is not None


def test_the_spread_begins_as_the_window_opens_and_is_cut_to_it() -> None:
    now = at("2026-11-21 22:00")
    half = gate(share=0.5, install_window="daily 22:00-23:00 utc", spread_s=1200)
    wait = half.before_installation(now)
    assert wait is not None
    assert (wait.code, wait.until) == ("time.spread", now + 600_000)
    cut = gate(share=0.5, install_window="daily 22:00-23:00 utc", spread_s=86_400, max_duration_s=1800)
    assert cut.before_installation(now).until == now + 900_000  # type: ignore[union-attr]
    assert cut.before_installation(now + 900_000) is None


def test_the_spread_without_a_window_begins_with_the_order_or_its_time() -> None:
    assert gate(share=0.25, issued=1000, spread_s=100).before_installation(0).until == 26_000  # type: ignore[union-attr]
    assert gate(share=0.25, issued=1000, spread_s=100, install_at=5000).before_installation(5000).until == 30_000  # type: ignore[union-attr]
    assert gate(share=0.25, spread_s=100, switch_at=5000).before_installation(5000) is None


def test_shares_are_the_names_and_spread_evenly() -> None:
    shares = sorted(share_of(f"pc-{number}") for number in range(1000))
    assert shares == sorted(share_of(f"pc-{number}") for number in range(1000))
    assert all(abs(share - number / 1000) < 0.06 for number, share in enumerate(shares))


@pytest.mark.parametrize(("when", "code"), [("start", "agent.start"), ("shutdown", "agent.stop")])
def test_what_waits_for_the_agent(when: str, code: str) -> None:
    one = gate(install_when=when, install_window="daily 22:00-23:00 utc")
    noon, night = at("2026-11-21 12:00"), at("2026-11-21 22:10")
    assert one.before_installation(night).code == code  # type: ignore[union-attr]
    assert one.before_installation(night, frozenset({when})) is None
    assert one.before_installation(noon, frozenset({when})).code == "window.shut"  # type: ignore[union-attr]


def test_programs_are_cut_to_the_window_and_to_the_declared_time() -> None:
    begun = at("2026-11-21 22:30")
    one = gate(install_window="daily 22:00-23:00 utc")
    assert one.allowed(60, begun=begun, now=begun).code == "program.timeout"
    cut = one.allowed(3600, begun=begun, now=begun)
    assert (cut.code, cut.timeout_s + cut.grace_s) == ("window.closed", 1800)
    late = one.allowed(3600, begun=begun, now=begun + 1_800_000)
    assert (late.code, late.timeout_s) == ("window.closed", 0.0)
    declared = gate(max_duration_s=100).allowed(3600, begun=1000, now=51_000)
    assert (declared.code, declared.timeout_s + declared.grace_s) == ("duration.over", 50)
    assert gate(max_duration_s=100).allowed(3600, begun=0, now=51_000).timeout_s == 3600


def test_a_program_that_runs_is_told_last() -> None:
    one = gate(install_at=5000, install_unless="editor, viewer")
    assert one.times.unless == ("editor", "viewer")
    assert one.before_installation(4999, running="editor").code == "time.install"  # type: ignore[union-attr]
    wait = one.before_installation(5000, running="editor")
    assert wait is not None
    assert (wait.code, wait.until, wait.get("app")) == ("app.running", 0, "editor")
    assert one.before_installation(5000) is None


def test_the_owners_window_is_kept_besides_the_jobs() -> None:
    owner = calendar.parse("daily 20:00-22:30 utc")
    one = Gate(t.read({"install_window": "daily 22:00-23:00 utc"}), zone=UTC, machine=owner)
    early = one.before_installation(at("2026-11-21 21:00"))
    assert early is not None
    assert (early.until, early.get("window")) == (at("2026-11-21 22:00"), "daily 22:00-23:00 utc")
    assert one.before_installation(at("2026-11-21 22:10")) is None
    late = one.before_installation(at("2026-11-21 22:40"))
    assert late is not None
    assert (late.until, late.get("window")) == (at("2026-11-22 22:00"), "daily 20:00-22:30 utc")
    assert one.ends(at("2026-11-21 22:10")) == at("2026-11-21 22:30")
    alone = Gate(zone=UTC, machine=owner)
    assert alone.before_installation(at("2026-11-21 12:00")).code == "window.shut"  # type: ignore[union-attr]


windows = st.sampled_from(
    [
        "daily 22:00-06:00",
        "mon-fri 22:00-06:00; not wed 00:00-24:00",
        "sat,sun 00:00-24:00",
        "not daily 08:00-18:00",
        "daily 01:30-02:30; daily 12:00-12:05 utc",
    ]
)
moments = st.integers(at("2026-03-20 00:00") // 1000, at("2026-11-05 00:00") // 1000).map(lambda s: s * 1000)


@given(windows, moments, st.integers(0, 20_000), st.floats(0, 1), st.integers(0, 20_000))
def test_what_may_begin_is_inside_and_ends_inside(
    window: str, now: int, spread: int, share: float, longest: int
) -> None:
    options = {"install_window": window, "spread_s": spread or None, "max_duration_s": longest or None}
    one = Gate(t.read(options), share=share, zone=BERLIN)
    wait = one.before_installation(now)
    if wait is None:
        assert calendar.rate_at(one.times.window, now / 1000, BERLIN) != 0.0
        close = one.closes(now)
        assert close is None or now + longest * 1000 <= close
        assert one.openings.since(now / 1000) <= now / 1000
    elif wait.until:
        assert wait.until > now
        again = one.before_installation(wait.until)
        assert again is None or again.code == "time.spread", "what was said to free it does"
