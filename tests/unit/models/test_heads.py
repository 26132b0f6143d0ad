"""The projector and the classifier: their layers, and what logits mean."""

import pytest
import torch
from torch import nn

from raydr.models.backbone import Backbone
from raydr.models.classifier import Classifier, grade_probabilities, referable_log_odds, referable_probability
from raydr.models.heads import PerceptronHead
from raydr.models.projector import Projector


class MeanColour(nn.Module):
    num_features = 3

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean(dim=(2, 3))


def classifier(num_outputs: int, drop_rate: float = 0.0) -> Classifier:
    backbone = Backbone(MeanColour(), name="mean_colour", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return Classifier(backbone, num_outputs, drop_rate)


@pytest.mark.parametrize("num_outputs", [1, 5])
def test_logits_are_one_linear_map_of_the_features(num_outputs):
    network = classifier(num_outputs, drop_rate=0.5).eval()
    image = torch.rand(4, 3, 8, 8)
    features = network.features(image)
    torch.testing.assert_close(features, (image.mean(dim=(2, 3)) - 0.5) / 0.25)
    torch.testing.assert_close(network(image), features @ network.head.weight.T + network.head.bias)


def test_dropout_works_on_the_features_in_training_only():
    network = classifier(1, drop_rate=0.9)
    image = torch.rand(64, 3, 4, 4)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


def test_other_numbers_of_outputs_are_refused():
    with pytest.raises(ValueError, match="must be 1"):
        classifier(2)


def test_referable_is_the_sum_of_the_grades_from_2_on():
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 5
    grades = grade_probabilities(logits)
    torch.testing.assert_close(grades.sum(dim=1), torch.ones(6))
    torch.testing.assert_close(referable_probability(logits), grades[:, 2] + grades[:, 3] + grades[:, 4])


def test_one_logit_is_a_sigmoid_and_knows_no_grades():
    logits = torch.tensor([[0.0], [2.0], [-200.0]])
    torch.testing.assert_close(referable_probability(logits), torch.tensor([0.5, 0.880797, 0.0]))
    assert grade_probabilities(logits) is None


@pytest.mark.parametrize("num_outputs", [1, 5])
def test_log_odds_are_those_of_the_probability_and_have_a_gradient_where_that_has_rounded(num_outputs):
    logits = torch.linspace(-3, 3, 4 * num_outputs).sin().view(4, num_outputs)
    torch.testing.assert_close(referable_log_odds(logits), referable_probability(logits).logit(), rtol=1e-4, atol=1e-4)
    sure = torch.zeros(1, num_outputs)
    sure[0, -1] = 300.0
    sure.requires_grad_()
    assert referable_probability(sure) == 1
    (gradient,) = torch.autograd.grad(referable_log_odds(sure).sum(), sure)
    assert gradient[0, -1] == 1


def test_probabilities_stay_within_0_and_1():
    logits = torch.randn(5000, 5, generator=torch.Generator().manual_seed(1)) * 8
    probability = referable_probability(logits + torch.tensor([0, 0, 9.0, 9, 9]))
    assert probability.min() >= 0
    assert probability.max() <= 1


def test_logits_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"\[B, 5\]"):
        referable_probability(torch.ones(3, 2))
    with pytest.raises(ValueError, match=r"\[B, 5\]"):
        grade_probabilities(torch.ones(3))


def test_the_projector_is_two_normalised_layers_without_biases():
    projector = Projector(6, 16, 4)
    kinds = [type(layer).__name__ for layer in projector.layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    assert all(layer.bias is None for layer in projector.layers if isinstance(layer, nn.Linear))
    embeddings = projector(torch.randn(64, 6) * 3 + 1)
    torch.testing.assert_close(embeddings.mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(embeddings.var(dim=0, correction=0), torch.ones(4), atol=1e-2, rtol=0)


def test_training_never_offsets_the_embeddings():
    projector = Projector(6, 16, 4)
    optimizer = torch.optim.SGD(projector.parameters(), lr=1.0)
    projector(torch.randn(8, 6)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(projector.layers[-1].bias.detach(), torch.zeros(4))


@pytest.mark.parametrize(
    ("num_layers", "last_norm", "last"),
    [(2, "none", ["Linear"]), (3, "plain", ["Linear", "BatchNorm1d"]), (2, "scaled", ["Linear", "BatchNorm1d"])],
)
def test_a_head_has_its_layers_normalised_and_rectified_but_the_last(num_layers, last_norm, last):
    head = PerceptronHead(6, 16, 4, num_layers=num_layers, last_norm=last_norm)
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * (num_layers - 1) + last
    widths = [layer.in_features for layer in head.layers if isinstance(layer, nn.Linear)]
    assert widths == [6] + [16] * (num_layers - 1)
    assert all(layer.bias is None for layer in head.layers if isinstance(layer, nn.Linear))
    assert head(torch.randn(5, 6)).shape == (5, 4)


def test_a_plain_last_normalisation_has_neither_scale_nor_offset():
    head = PerceptronHead(6, 16, 4, last_norm="plain")
    assert list(head.layers[-1].parameters()) == []


def test_a_head_of_one_layer_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        PerceptronHead(6, 16, 4, num_layers=1)
