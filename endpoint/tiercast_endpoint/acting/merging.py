"""Three-way merging of a configuration file that somebody changed by hand.

Rules
- Base is what the older version brought, one side the new version's, the other what stands on the machine.
- A merge is taken only where no two changes touch: a file with marks of a conflict in it helps no program.
"""

from __future__ import annotations


def merged(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """Both sides' changes to `base`; None where they touch."""
    import merge3  # noqa: PLC0415 - only who merges needs it

    texts = [text.splitlines(keepends=True) for text in (base, theirs, ours)]
    # Lines that end differently would run into each other.
    if any(text and not text[-1].endswith(b"\n") for text in texts):
        texts = [[*text[:-1], text[-1].rstrip(b"\n") + b"\n"] if text else text for text in texts]
    found: list[bytes] = []
    for group in merge3.Merge3(texts[0], texts[1], texts[2]).merge_groups():
        if group[0] == "conflict":
            return None
        found += group[1]
    return b"".join(found)
