"""The step that finds made-up lesions."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs, Step, View
from raydr.images.lesions import draw_lesions, paint_lesions
from raydr.images.transfer import sent


@dataclass(frozen=True, slots=True)
class LesionsStep(Step):
    """Tell which kinds of lesion were painted into a photograph, with binary cross-entropy for each of five signs.

    The idea is CutPaste's (arXiv:2104.04015), section 3.1, with lesions of diabetic retinopathy for cuttings. A lesion
    that an eye has of its own counts as absent, which is wrong for a minority of the images and is learned around.
    """

    tell: nn.Module
    view: View

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Logits of the signs [B, 5] for one view an image, and whether they were painted."""
        lesions = draw_lesions(len(batch.row), generator)
        with torch.no_grad():
            painted = paint_lesions(batch.image.float().div_(255), lesions)
            image = painted.mul_(255).round_().to(torch.uint8)  # views are taken of photographs
        return self.tell(self.view(image, generator)), sent(lesions.signs, image.device)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:  # noqa: ARG002
        """Mean over images and signs."""
        logits, signs = outputs
        return F.binary_cross_entropy_with_logits(logits.float(), signs.detach())
