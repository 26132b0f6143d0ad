"""The loss on true labels, row by row, and the weights of its classes."""

import math

import numpy as np
import pytest
import torch

from raydr.losses.classification import balanced_weights, label_loss

GRADES = torch.tensor([0, 1, 2, 3, 4, -1, 0, -1])


def logits(num_outputs: int) -> torch.Tensor:
    return torch.randn(8, num_outputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def literal_loss(values: torch.Tensor, weights: list[float]) -> float:
    total, count = 0.0, 0
    for row, grade in zip(values.tolist(), GRADES.tolist(), strict=True):
        if grade < 0:
            continue
        if len(row) == 1:
            target = int(grade >= 2)
            probability = 1 / (1 + math.exp(-row[0]))
            loss = -math.log(probability if target else 1 - probability)
        else:
            target = grade
            loss = -math.log(math.exp(row[grade]) / sum(math.exp(value) for value in row))
        total += weights[target] * loss
        count += 1
    return total / count


@pytest.mark.parametrize("num_outputs", [1, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_is_the_weighted_mean_over_labelled_rows(num_outputs, weighted):
    weights = [0.5, 2.0] if num_outputs == 1 else [0.5, 1.0, 1.5, 2.0, 3.0]
    loss = label_loss(logits(num_outputs), GRADES, weights=torch.tensor(weights) if weighted else None)
    expected = literal_loss(logits(num_outputs), weights if weighted else [1.0] * 5)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("num_outputs", [1, 5])
def test_unlabelled_rows_have_no_gradient(num_outputs):
    values = logits(num_outputs).requires_grad_()
    label_loss(values, GRADES, weights=None).backward()
    is_moved = (values.grad != 0).any(dim=1)
    torch.testing.assert_close(is_moved, GRADES >= 0)


@pytest.mark.parametrize("num_outputs", [1, 5])
@pytest.mark.parametrize("weights", [None, "balanced"])
def test_a_batch_without_labels_costs_exactly_nothing_and_still_has_a_gradient(num_outputs, weights):
    values = logits(num_outputs).requires_grad_()
    given = None if weights is None else balanced_weights(GRADES.numpy(), num_outputs)
    loss = label_loss(values, torch.full((8,), -1), weights=given)
    loss.backward()
    assert loss.item() == 0.0
    assert values.grad.abs().max().item() == 0.0


def test_the_mean_over_workers_is_the_whole_batchs_loss_even_where_each_has_one_class():
    values, grades = torch.tensor([[0.3], [-0.2], [1.1], [0.4]]), torch.tensor([0, 1, 2, 4])
    weights = torch.tensor([0.6, 1.7])
    parts = [label_loss(values[rows], grades[rows], weights=weights) for rows in ([0, 1], [2, 3])]
    torch.testing.assert_close(sum(parts) / 2, label_loss(values, grades, weights=weights))


def test_a_batch_of_a_class_without_weight_costs_nothing():
    loss = label_loss(torch.ones(3, 1), torch.tensor([3, 4, -1]), weights=torch.tensor([1.0, 0.0]))
    assert loss.item() == 0.0


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\[B, 1\] or \[B, 5\]"):
        label_loss(torch.ones(3, 2), torch.zeros(3, dtype=torch.int64), weights=None)
    with pytest.raises(ValueError, match=r"grade \(4,\)"):
        label_loss(torch.ones(3, 1), torch.zeros(4, dtype=torch.int64), weights=None)
    with pytest.raises(ValueError, match="one weight for each class"):
        label_loss(torch.ones(3, 1), torch.zeros(3, dtype=torch.int64), weights=torch.ones(5))


@pytest.mark.parametrize("num_outputs", [1, 5])
def test_balanced_weights_give_every_class_the_same_total_and_images_the_mean_1(num_outputs):
    grades = np.array([0] * 60 + [1] * 10 + [2] * 20 + [3] * 7 + [4] * 3 + [-1] * 50)
    weights = balanced_weights(grades, num_outputs).numpy()
    classes = grades[grades >= 0] if num_outputs == 5 else (grades[grades >= 0] >= 2).astype(int)
    totals = np.bincount(classes) * weights
    np.testing.assert_allclose(totals, totals[0], rtol=1e-6)
    assert weights[classes].mean() == pytest.approx(1)


def test_a_class_that_does_not_occur_has_weight_0_and_changes_no_other():
    weights = balanced_weights(np.array([0, 0, 0, 2, -1]), 5)
    torch.testing.assert_close(weights, torch.tensor([4 / 6, 0, 2.0, 0, 0]))
    torch.testing.assert_close(balanced_weights(np.array([0, 1]), 1), torch.tensor([1.0, 0.0]))


def test_nothing_labelled_cannot_be_balanced():
    with pytest.raises(ValueError, match="no image is labelled"):
        balanced_weights(np.array([-1, -1]), 1)
