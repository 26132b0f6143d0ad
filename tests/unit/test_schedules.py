"""Warm-up and cosine: values at the joints, and the refusal of steps that do not fit."""

import math
from itertools import pairwise

import pytest

from raydr.schedules import cosine_momentum, linear_rise, warmup_cosine


def test_rises_in_equal_steps_to_one_and_falls_to_zero():
    factors = [warmup_cosine(step, total=100, warmup=10) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == pytest.approx(1)
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == 0
    assert all(late < early for early, late in pairwise(factors[10:]))


def test_without_warmup_it_is_half_a_cosine():
    for step in range(7):
        assert warmup_cosine(step, total=7, warmup=0) == pytest.approx((1 + math.cos(math.pi * step / 7)) / 2)


def test_beyond_the_end_the_rate_stays_zero():
    assert warmup_cosine(500, total=100, warmup=10) == 0


@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (1, 1), (5, 5)])
def test_every_step_of_a_short_run_moves(total, warmup):
    assert all(0 < warmup_cosine(step, total=total, warmup=warmup) <= 1 for step in range(total))


@pytest.mark.parametrize(("step", "total", "warmup"), [(0, 0, 0), (0, 5, 6), (-1, 5, 1), (0, 5, -1)])
def test_numbers_that_do_not_fit_are_refused(step, total, warmup):
    with pytest.raises(ValueError, match="do not fit"):
        warmup_cosine(step, total=total, warmup=warmup)


def test_the_momentum_rises_from_its_start_to_one_as_byol_says():
    def literal(step: int, steps: int, base: float) -> float:  # arXiv:2006.07733, section 3.3
        return 1 - (1 - base) * (math.cos(math.pi * step / steps) + 1) / 2

    found = [cosine_momentum(step / 50, start=0.996) for step in range(51)]
    assert found == pytest.approx([literal(step, 50, 0.996) for step in range(51)])
    assert (found[0], found[25], found[50]) == pytest.approx((0.996, 0.998, 1.0))
    assert all(late > early for early, late in pairwise(found))


@pytest.mark.parametrize(("progress", "start"), [(-0.1, 0.9), (1.1, 0.9), (0.5, 1.5), (0.5, -0.1)])
def test_a_momentum_that_makes_no_sense_is_refused(progress, start):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        cosine_momentum(progress, start=start)


def test_a_linear_rise_is_even_and_then_stays():
    values = [linear_rise(p, start=0.04, end=0.07, until=0.3) for p in (0.0, 0.15, 0.3, 1.0)]
    assert values == pytest.approx([0.04, 0.055, 0.07, 0.07])
    assert linear_rise(0.0, start=0.04, end=0.07, until=0.0) == 0.07


@pytest.mark.parametrize(("progress", "until"), [(-0.1, 0.5), (0.5, 1.5)])
def test_a_rise_outside_the_run_is_refused(progress, until):
    with pytest.raises(ValueError, match="must be in"):
        linear_rise(progress, start=0.0, end=1.0, until=until)
