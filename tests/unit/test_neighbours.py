"""The weighted vote and the effective rank, against literal loops and closed forms."""

import math

import numpy as np
import pytest

from raydr.metrics import neighbours
from raydr.metrics.neighbours import effective_rank, knn_scores


def literal_vote(bank, truth, query, num_neighbours, temperature):
    similar = [
        (float(row @ query / np.linalg.norm(row) / np.linalg.norm(query)), t)
        for row, t in zip(bank, truth, strict=True)
    ]
    nearest = sorted(similar, reverse=True)[:num_neighbours]
    weights = [math.exp(similarity / temperature) for similarity, _ in nearest]
    return sum(weight for weight, (_, positive) in zip(weights, nearest, strict=True) if positive) / sum(weights)


@pytest.fixture
def vectors() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    bank = generator.normal(size=(60, 8)).astype(np.float32)
    return bank, generator.random(60) < 0.4, generator.normal(size=(25, 8)).astype(np.float32)


@pytest.mark.parametrize("num_neighbours", [1, 5, 60, 500])
def test_scores_are_the_literal_weighted_vote(vectors, num_neighbours):
    bank, truth, queries = vectors
    scores = knn_scores(bank, truth, queries, num_neighbours=num_neighbours)
    expected = [literal_vote(bank, truth, query, num_neighbours, 0.07) for query in queries]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


def test_chunks_of_queries_do_not_change_the_scores(vectors, monkeypatch):
    bank, truth, queries = vectors
    whole = knn_scores(bank, truth, queries)
    monkeypatch.setattr(neighbours, "_CHUNK_CELLS", 4 * len(bank))
    np.testing.assert_allclose(knn_scores(bank, truth, queries), whole, rtol=1e-5)


def test_lengths_of_vectors_do_not_matter_and_a_low_temperature_does_not_overflow(vectors):
    bank, truth, queries = vectors
    scores = knn_scores(bank, truth, queries, temperature=1e-4)
    np.testing.assert_allclose(knn_scores(bank * 1e6, truth, queries * 1e-6, temperature=1e-4), scores, atol=1e-2)
    nearest = knn_scores(bank, truth, queries, num_neighbours=1)
    np.testing.assert_array_equal(np.round(scores), nearest)


@pytest.mark.parametrize("positive", [False, True])
def test_a_bank_of_one_class_scores_everything_as_that_class(vectors, positive):
    bank, _, queries = vectors
    np.testing.assert_array_equal(knn_scores(bank, np.full(len(bank), positive), queries), float(positive))


def test_an_all_zero_query_gets_the_share_of_its_neighbours(vectors):
    bank, truth, _ = vectors
    score = knn_scores(bank, truth, np.zeros((1, 8), np.float32), num_neighbours=len(bank))
    assert score[0] == pytest.approx(truth.mean())


def test_a_bank_that_does_not_fit_is_refused(vectors):
    bank, truth, queries = vectors
    with pytest.raises(ValueError, match="do not fit together"):
        knn_scores(bank, truth[:-1], queries)
    with pytest.raises(ValueError, match="empty"):
        knn_scores(bank[:0], truth[:0], queries)


def test_effective_rank_counts_equal_directions():
    assert effective_rank(np.eye(7)) == pytest.approx(7)
    assert effective_rank(np.outer(np.arange(1, 9), np.ones(4))) == pytest.approx(1)


def test_effective_rank_is_the_exponential_of_the_entropy_of_the_shares():
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert effective_rank(np.diag([3.0, 1.0])) == pytest.approx(expected)


def test_effective_rank_of_nothing_is_nan():
    assert math.isnan(effective_rank(np.zeros((4, 3))))
