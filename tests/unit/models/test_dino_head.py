"""DINO's head: cosines with the prototypes, whatever their lengths."""

import torch

from raydr.models.dino_head import DinoHead


def head() -> DinoHead:
    torch.manual_seed(0)
    return DinoHead(5, 8, 4, 12)


def test_logits_are_the_cosines_with_the_prototypes():
    network, features = head(), torch.randn(3, 5)
    bottleneck = network.layers(features)
    logits = network(features)
    for row in range(3):
        for number, prototype in enumerate(network.prototypes):
            expected = torch.nn.functional.cosine_similarity(bottleneck[row], prototype, dim=0)
            torch.testing.assert_close(logits[row, number], expected, atol=1e-6, rtol=1e-5)


def test_a_prototypes_length_means_nothing():
    network, features = head(), torch.randn(3, 5)
    expected = network(features)
    with torch.no_grad():
        network.prototypes.mul_(torch.linspace(0.1, 10, 12)[:, None])
    torch.testing.assert_close(network(features), expected)


def test_it_has_three_layers_gelu_and_no_batch_normalisation():
    assert [type(layer).__name__ for layer in head().layers] == ["Linear", "GELU", "Linear", "GELU", "Linear"]
