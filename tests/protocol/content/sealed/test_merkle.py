"""Proofs prove their own leaf at their own index, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.sealed import merkle
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.errors import SignatureInvalid


def leaves_of(count: int) -> list[bytes]:
    return [merkle.leaf_of(f"node{n}", digest_of(b"%d" % n), 1) for n in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 31, 33, 100])
def test_every_leaf_has_a_proof(count: int) -> None:
    leaves = leaves_of(count)
    tree = merkle.Tree(leaves)
    assert tree.root == merkle.root(leaves)
    for index, leaf in enumerate(leaves):
        found = tree.proof(index)
        assert found == merkle.proof(leaves, index)
        assert len(found) <= (count - 1).bit_length()
        merkle.verify(tree.root, leaf, index, count, found)


@given(st.integers(1, 40), st.data())
def test_nothing_else_passes(count: int, data: st.DataObject) -> None:
    leaves = leaves_of(count)
    tree = merkle.Tree(leaves)
    index = data.draw(st.integers(0, count - 1))
    good = tree.proof(index)
    other_index = data.draw(st.integers(-1, count + 1))
    if other_index != index:
        with pytest.raises(SignatureInvalid):
            merkle.verify(tree.root, leaves[index], other_index, count, good)
    other_leaf = data.draw(st.sampled_from([*leaves, b"", b"stranger"]))
    if other_leaf != leaves[index]:
        with pytest.raises(SignatureInvalid):
            merkle.verify(tree.root, other_leaf, index, count, good)
    for bad in (
        [*good, b"x" * 32],
        [*good, b""],
        good[:-1] if good else [b"x" * 32],
        [*good[:-1], b"x" * 32],
        [*good[:-1], b"short"],
    ):
        with pytest.raises(SignatureInvalid):
            merkle.verify(tree.root, leaves[index], index, count, bad)


@given(st.integers(2, 20), st.integers(0, 10**6))
def test_every_bit_of_a_proof_counts(count: int, where: int) -> None:
    leaves = leaves_of(count)
    tree = merkle.Tree(leaves)
    index = where % count
    joined = bytearray(b"".join(tree.proof(index)))
    joined[where % len(joined)] ^= 1 << where % 8
    with pytest.raises(SignatureInvalid):
        merkle.verify(
            tree.root, leaves[index], index, count, [bytes(joined[n : n + 32]) for n in range(0, len(joined), 32)]
        )


def test_an_inner_node_is_no_leaf() -> None:
    # second preimage: what hashes to an inner node, shown as the leaf of a smaller tree
    leaves = leaves_of(4)
    tree = merkle.Tree(leaves)
    left = merkle.Tree(leaves[:2])
    right = merkle.Tree(leaves[2:])
    inner = digest_of(b"\x00" + leaves[0]) + digest_of(b"\x00" + leaves[1])
    for fake in (inner, b"\x01" + inner, left.root):
        with pytest.raises(SignatureInvalid):
            merkle.verify(tree.root, fake, 0, 2, [right.root])


def test_another_count_is_another_tree() -> None:
    leaves = leaves_of(5)
    tree = merkle.Tree(leaves)
    for count in (4, 8, 9, 17):
        with pytest.raises(SignatureInvalid):
            merkle.verify(tree.root, leaves[0], 0, count, tree.proof(0))


def test_an_odd_leaf_is_not_doubled() -> None:
    # trees that pair an odd node with itself give two lists of targets one root
    assert merkle.root(leaves_of(3)) != merkle.root([*leaves_of(3), leaves_of(3)[2]])


def test_a_leaf_is_name_and_key_and_generation() -> None:
    base = merkle.leaf_of("ab", b"k" * 32, 1)
    assert (
        len(
            {
                base,
                merkle.leaf_of("a", b"bk", 1),
                merkle.leaf_of("ab", b"k" * 32, 2),
                merkle.leaf_of("ab", b"j" * 32, 1),
            }
        )
        == 4
    )


def test_golden() -> None:
    assert merkle.root(leaves_of(5)).hex() == "9c7ce60c5d005ae27f06d486ab421b8234d7374b4688c3d9c1d6a5c40e684e05"


def test_our_own_misuse() -> None:
    with pytest.raises(ValueError, match="0 leaves"):
        merkle.root([])
    for index in (-1, 3):
        with pytest.raises(IndexError):
            merkle.proof(leaves_of(3), index)
