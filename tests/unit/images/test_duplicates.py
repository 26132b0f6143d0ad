"""Near-identical photographs of different groups are found among many, none twice and none within a group."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from raydr.images.duplicates import find_candidates, find_near_identical
from raydr.images.similarity import Fingerprint, mirrored_hash

NUM_HASHES = 3000


def hashes_with_copies(num_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Random hashes in three groups; hash k + 1500 is hash k with some bits changed, for k below 10."""
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2, (NUM_HASHES, 256), dtype=np.uint8)
    for k in range(10):
        bits[1500 + k] = bits[k]
        bits[1500 + k, generator.choice(256, num_bits, replace=False)] ^= 1
    return np.packbits(bits, axis=1).view(np.uint64), np.arange(NUM_HASHES) // 1000


def candidates(hashes: np.ndarray, groups: np.ndarray, *, num_threads: int = 2) -> list[tuple[int, int, bool]]:
    with ThreadPoolExecutor(num_threads) as pool:
        return sorted(find_candidates(hashes, groups, pool))


def test_hashes_up_to_the_distance_are_candidates_and_no_others():
    assert candidates(*hashes_with_copies(72)) == [(k, 1500 + k, False) for k in range(10)]
    assert candidates(*hashes_with_copies(73)) == []


def test_mirrored_hashes_are_candidates_too():
    hashes, groups = hashes_with_copies(40)
    hashes[:10] = mirrored_hash(hashes[:10])
    assert candidates(hashes, groups) == [(k, 1500 + k, True) for k in range(10)]


def test_pairs_within_a_group_are_not_compared():
    hashes, _ = hashes_with_copies(0)
    assert candidates(hashes, np.zeros(NUM_HASHES, np.int64)) == []


def test_the_number_of_threads_changes_nothing():
    hashes, groups = hashes_with_copies(60)
    assert candidates(hashes, groups, num_threads=1) == candidates(hashes, groups, num_threads=4)


def test_photographs_without_a_fingerprint_keep_their_number():
    generator = np.random.default_rng(1)
    one = Fingerprint(
        generator.integers(0, 2**63, 4, dtype=np.uint64), generator.integers(-127, 128, (64, 64)).astype(np.int8)
    )
    found = find_near_identical([None, one, None, one], np.array([0, 0, 1, 1]))
    assert [(pair.first, pair.second) for pair in found] == [(1, 3)]
    assert found[0].similarity > 0.999
    assert find_near_identical([None, None], np.array([0, 1])) == []
    assert find_near_identical([], np.array([], np.int64)) == []
