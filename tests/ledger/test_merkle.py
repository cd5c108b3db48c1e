"""The tree against the published vectors of Certificate Transparency and against RFC 6962 written down naively."""

import hashlib
import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.ledger.domain import LogCorrupt, ProofInvalid
from modelyard.ledger.rules import merkle
from modelyard.ledger.rules.merkle import Tile

# The eight leaves of the reference tests of Certificate Transparency, and the root after each.
LEAVES = [bytes.fromhex(x) for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
PATHS = {
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
}
CONSISTENCY = {
    (1, 8): PATHS[0, 8],
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}


class Log:
    """Tiles in memory, grown by the code under test."""

    def __init__(self, leaves: Sequence[bytes] = (), steps: Sequence[int] = ()) -> None:
        self.tiles: dict[Tile, bytes] = {}
        self.size = 0
        cuts = sorted({min(step, len(leaves)) for step in steps} | {0, len(leaves)})
        for start, end in itertools.pairwise(cuts):
            self.append([merkle.leaf_hash(leaf) for leaf in leaves[start:end]])

    def read(self, tile: Tile) -> bytes:
        """The tile's hashes."""
        return self.tiles[tile]

    def append(self, hashes: list[bytes]) -> None:
        """Grows the tree."""
        self.tiles |= merkle.grown(self.read, self.size, hashes)
        self.size += len(hashes)


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = naive_split(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def naive_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = naive_split(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = naive_split(len(leaves))
    if m <= k:
        return [*naive_subproof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], False), naive_root(leaves[:k])]


def numbered(count: int) -> list[bytes]:
    """That many different leaves."""
    return [b"leaf %d" % number for number in range(count)]


def test_roots_are_those_of_the_certificate_transparency_vectors() -> None:
    assert merkle.root_hash(Log().read, 0).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    log = Log(LEAVES)
    for size, root in enumerate(ROOTS, 1):
        assert merkle.root_hash(log.read, size).hex() == root


def test_a_leaf_and_a_node_never_share_a_hash() -> None:
    left, right = merkle.leaf_hash(b"N123"), merkle.leaf_hash(b"N456")
    assert merkle.leaf_hash(b"\x01" + left + right) != merkle.node_hash(left, right)


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_inclusion_paths_are_those_of_the_vectors(index: int, size: int) -> None:
    assert [step.hex() for step in merkle.inclusion_path(Log(LEAVES).read, index, size)] == list(PATHS[index, size])


@pytest.mark.parametrize(("first", "second"), CONSISTENCY)
def test_consistency_paths_are_those_of_the_vectors(first: int, second: int) -> None:
    assert [step.hex() for step in merkle.consistency_path(Log(LEAVES).read, first, second)] == list(CONSISTENCY[first, second])


def test_tiles_of_70000_leaves_are_laid_out_as_c2sp_says() -> None:
    assert merkle.tile_widths(70_000) == {0: (273, 112), 1: (1, 17), 2: (0, 1)}
    assert merkle.tile_widths(256) == {0: (1, 0), 1: (0, 1)}


@given(st.integers(0, 1400), st.lists(st.integers(0, 1400), max_size=6))
def test_a_tree_grown_in_any_steps_has_the_naive_root_and_the_tiles_of_its_size(size: int, steps: list[int]) -> None:
    leaves = numbered(size)
    log = Log(leaves, steps)
    assert merkle.root_hash(log.read, size) == naive_root(leaves)
    stored = {tile: len(hashes) // 32 for tile, hashes in log.tiles.items()}
    expected: dict[Tile, int] = {}
    for level, (full, width) in merkle.tile_widths(size).items():
        expected |= {Tile(level, number): 256 for number in range(full)} | ({Tile(level, full): width} if width else {})
    assert stored == expected


@given(st.data())
def test_inclusion_proofs_equal_the_naive_ones_and_verify_at_every_earlier_size(data: st.DataObject) -> None:
    leaves = numbered(data.draw(st.integers(1, 900)))
    log, size = Log(leaves), data.draw(st.integers(1, len(leaves)))
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_path(log.read, index, size)
    assert path == naive_path(index, leaves[:size])
    merkle.verify_inclusion(merkle.leaf_hash(leaves[index]), index, size, path, naive_root(leaves[:size]))


@given(st.data())
def test_consistency_proofs_equal_the_naive_ones_and_verify(data: st.DataObject) -> None:
    leaves = numbered(data.draw(st.integers(1, 900)))
    second = data.draw(st.integers(1, len(leaves)))
    first = data.draw(st.integers(1, second))
    path = merkle.consistency_path(Log(leaves).read, first, second)
    assert path == naive_subproof(first, leaves[:second], True)
    merkle.verify_consistency(first, second, path, naive_root(leaves[:first]), naive_root(leaves[:second]))


@given(st.integers(1, 80), st.data())
def test_a_changed_inclusion_proof_never_verifies(size: int, data: st.DataObject) -> None:
    leaves = numbered(size)
    index = data.draw(st.integers(0, size - 1))
    root, leaf = naive_root(leaves), merkle.leaf_hash(leaves[index])
    path: list[bytes] = list(naive_path(index, leaves))
    other = data.draw(st.integers(0, size + 3).filter(lambda at: at != index))
    longer, shorter = [*path, bytes(32)], path[:-1]
    for wrong in (longer, *([shorter] if path else []), *([*path[:at], bytes(32), *path[at + 1 :]] for at in range(len(path)))):
        with pytest.raises(ProofInvalid):
            merkle.verify_inclusion(leaf, index, size, wrong, root)
    for arguments in ((leaf, other, size, path, root), (bytes(32), index, size, path, root), (leaf, index, size, path, bytes(32))):
        with pytest.raises(ProofInvalid):
            merkle.verify_inclusion(*arguments)


@given(st.integers(2, 80), st.data())
def test_a_changed_consistency_proof_never_verifies(second: int, data: st.DataObject) -> None:
    leaves = numbered(second)
    first = data.draw(st.integers(1, second - 1))
    path: list[bytes] = list(naive_subproof(first, leaves, True))
    roots = naive_root(leaves[:first]), naive_root(leaves)
    merkle.verify_consistency(first, second, path, *roots)
    changed = [[*path[:at], bytes(32), *path[at + 1 :]] for at in range(len(path))]
    for wrong in ([*path, bytes(32)], path[:-1], *changed):
        with pytest.raises(ProofInvalid):
            merkle.verify_consistency(first, second, wrong, *roots)
    for wrong_roots in ((bytes(32), roots[1]), (roots[0], bytes(32)), (roots[1], roots[0])):
        with pytest.raises(ProofInvalid):
            merkle.verify_consistency(first, second, path, *wrong_roots)


def test_equal_and_empty_trees_are_consistent_by_an_empty_proof_only() -> None:
    root = naive_root(LEAVES)
    merkle.verify_consistency(8, 8, [], root, root)
    merkle.verify_consistency(0, 8, [], merkle.EMPTY_ROOT, root)
    wrong: tuple[Callable[[], None], ...] = (
        lambda: merkle.verify_consistency(8, 8, [], root, bytes(32)),
        lambda: merkle.verify_consistency(0, 8, [root], merkle.EMPTY_ROOT, root),
        lambda: merkle.verify_consistency(0, 8, [], root, root),
        lambda: merkle.verify_consistency(9, 8, [], root, root),
        lambda: merkle.verify_consistency(3, 8, [], root, root),
    )
    for attempt in wrong:
        with pytest.raises(ProofInvalid):
            attempt()


def test_a_proof_for_a_leaf_beyond_the_tree_is_refused() -> None:
    log = Log(LEAVES)
    with pytest.raises(ProofInvalid):
        merkle.inclusion_path(log.read, 8, 8)
    with pytest.raises(ProofInvalid):
        merkle.consistency_path(log.read, 9, 8)


def test_an_append_reads_and_writes_the_right_edge_only() -> None:
    log = Log(numbered(70_000))
    read: list[Tile] = []

    def noting(tile: Tile) -> bytes:
        read.append(tile)
        return log.tiles[tile]

    changed = merkle.grown(noting, 70_000, [bytes(32)])
    assert (read, list(changed)) == ([Tile(0, 273)], [Tile(0, 273)])


def test_a_proof_in_a_large_log_reads_a_tile_or_two_a_level() -> None:
    log = Log(numbered(70_000))
    read: set[Tile] = set()

    def noting(tile: Tile) -> bytes:
        read.add(tile)
        return log.tiles[tile]

    merkle.inclusion_path(noting, 12_345, 70_000)
    assert len(read) <= 2 * len(merkle.tile_widths(70_000))


def test_a_tile_that_lost_hashes_is_named() -> None:
    log = Log(numbered(300))
    log.tiles[Tile(0, 1)] = log.tiles[Tile(0, 1)][:-32]
    with pytest.raises(LogCorrupt, match="tile 0/1 holds 43 hashes, expected 44"):
        merkle.root_hash(log.read, 300)


def test_a_proof_that_is_too_short_for_its_size_is_refused_even_if_its_hashes_fit() -> None:
    alone = merkle.leaf_hash(b"")
    with pytest.raises(ProofInvalid):
        merkle.verify_inclusion(alone, 0, 8, [], alone)
    with pytest.raises(ProofInvalid):
        merkle.verify_consistency(1, 8, [], alone, alone)
