"""Terms as people read them."""

from __future__ import annotations

from tiercast_cli.shown.terms import told


def test_terms_are_told_by_the_names_of_their_options_with_units() -> None:
    assert told({}) == ""
    assert told({"rate": 3_000_000, "pass_suspended": True, "metered": False}) == (
        "rate 3 MB/s, pass-suspended yes, metered no"
    )
    assert told({"frames": 16, "frame_pause_ms": 250}) == "interval-frames 16, interval-pause 250 ms"
    assert told({"budget_s": 36_000, "per": "day"}).startswith("budget 10 h")
    assert told({"segment": 4096, "pause": 90, "window": "daily 01:00-02:00"}) == (
        "segment 4.00 KiB, pause 1 min 30 s, window daily 01:00-02:00"
    )
