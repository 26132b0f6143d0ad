"""Several classifiers as one teacher, and the student that is held against its features."""

import pytest
import torch
import torch.nn.functional as F

from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier
from raydr.models.ensemble import Ensemble
from raydr.models.student import Student

IMAGE = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def classifier(seed, name="test_resnet", num_outputs=1):
    torch.manual_seed(seed)
    return Classifier(create_backbone(name), num_outputs, drop_rate=0.5)


def test_an_ensemble_says_the_mean_logit_and_its_members_directions_side_by_side():
    members = [classifier(1), classifier(2, "test_vit")]
    ensemble = Ensemble(members)
    logits, features = ensemble(IMAGE)
    torch.testing.assert_close(logits, (members[0](IMAGE) + members[1](IMAGE)) / 2)
    literal = [F.normalize(member.features(IMAGE), dim=1) for member in members]
    torch.testing.assert_close(features, torch.cat(literal, dim=1))
    assert features.shape[1] == ensemble.num_features


def test_an_ensemble_stays_frozen_and_in_evaluation_mode_whatever_is_asked():
    ensemble = Ensemble([classifier(1)])
    before = {name: tensor.clone() for name, tensor in ensemble.state_dict().items()}
    torch.nn.Sequential(ensemble).train()
    alone, together = ensemble(IMAGE[:1]), ensemble(IMAGE)
    torch.testing.assert_close(together[0][:1], alone[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in ensemble.state_dict().items())
    assert not any(parameter.requires_grad for parameter in ensemble.parameters())
    assert not together[0].requires_grad


def test_an_ensemble_of_other_heads_is_refused():
    with pytest.raises(ValueError, match=r"2 classifiers with \[1, 5\] outputs"):
        Ensemble([classifier(1), classifier(2, num_outputs=5)])


def test_a_students_features_have_the_teachers_width_by_a_layer_only_where_they_must():
    bare = classifier(1).eval()
    width = bare.backbone.num_features
    (logits,) = Student(bare)(IMAGE)
    torch.testing.assert_close(logits, bare(IMAGE))
    logits, features = Student(bare, width).eval()(IMAGE)
    torch.testing.assert_close(logits, bare(IMAGE))
    torch.testing.assert_close(features, bare.features(IMAGE))
    wider = Student(bare, width + 3)
    assert wider(IMAGE)[1].shape == (3, width + 3)
    assert {name for name, _ in wider.named_parameters() if "classifier" not in name} == {
        "projector.weight",
        "projector.bias",
    }
