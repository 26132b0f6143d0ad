"""How often to save a training whose nodes may be lost: the formulas of Young and of Daly."""

from math import exp, expm1, inf, sqrt


def young_interval_s(*, save_s: float, between_losses_s: float) -> float:
    """Seconds of work between two states that cost least, to first order (Young, DOI 10.1145/361147.361115)."""
    return sqrt(2 * save_s * between_losses_s)


def daly_interval_s(*, save_s: float, between_losses_s: float) -> float:
    """Seconds of work between two states that cost least, to higher order (Daly, DOI 10.1016/j.future.2004.11.016).

    Infinite where nothing is ever lost. Where a loss comes sooner than two savings take, as long as to the next loss.
    """
    if between_losses_s == inf:
        return inf
    if save_s >= 2 * between_losses_s:
        return between_losses_s
    part = save_s / (2 * between_losses_s)
    young = young_interval_s(save_s=save_s, between_losses_s=between_losses_s)
    return young * (1 + sqrt(part) / 3 + part / 9) - save_s


def daly_total_s(
    *, work_s: float, interval_s: float, save_s: float, between_losses_s: float, restart_s: float
) -> float:
    """Seconds that ``work_s`` take in all, states, repeated work and restarts included (Daly, his complete model).

    Losses are a Poisson process, may come in the midst of saving and of restarting, and cost what was done since the
    state before.
    """
    segment = expm1((interval_s + save_s) / between_losses_s)
    return between_losses_s * exp(restart_s / between_losses_s) * segment * work_s / interval_s
