"""The International Clinical Diabetic Retinopathy scale, grades 0 to 4 (doi:10.1016/S0161-6420(03)00475-5)."""

from typing import Final

NUM_GRADES: Final = 5
REFERABLE_GRADE: Final = 2
"""Moderate non-proliferative retinopathy: from here on a patient is referred."""
GRADE_NAMES: Final = ("none", "mild", "moderate", "severe", "proliferative")
