"""Model card and checklists: every item once, filled from what is known, blanks marked, any name stays text."""

import dataclasses
import re

import pytest
from reports import HOSTILE, bare, evaluation, full_report

from raydr.reporting.checklist import answers, render_checklist, write_checklist
from raydr.reporting.checklist_items import CLAIM, TRIPOD_AI
from raydr.reporting.facts import facts
from raydr.reporting.markdown import BLANK
from raydr.reporting.model_card import render_model_card, write_model_card

RENDERERS = pytest.mark.parametrize("render", [render_model_card, render_checklist])


def numbers(checklist):
    return [item.number for _, items in checklist.sections for item in items]


def rows(text, number):
    """The answers to an item, TRIPOD+AI's first."""
    return [line.split(" | ")[2].removesuffix(" |") for line in text.splitlines() if line.startswith(f"| {number} |")]


def test_tripod_ai_has_its_27_items_and_claim_its_44_each_once():
    assert [int(number) for number in numbers(CLAIM)] == list(range(1, 45))
    mains = [int(re.match(r"\d+", number).group()) for number in numbers(TRIPOD_AI)]
    assert mains == sorted(mains)
    assert set(mains) == set(range(1, 28))
    assert len(set(numbers(TRIPOD_AI))) == len(numbers(TRIPOD_AI)) == 52


def test_every_item_is_answered_or_marked_as_a_blank_and_no_fact_is_named_that_nobody_gives():
    known = facts(full_report())
    for checklist in (TRIPOD_AI, CLAIM):
        for entries in answers(checklist, known).values():
            assert all(entry.known or entry.unknown for entry in entries)
        named = {name for _, items in checklist.sections for item in items for name in item.facts}
        assert named <= known.keys()


def test_what_the_run_knows_is_in_the_answers():
    text = render_checklist(full_report())
    tripod, claim = rows(text, "23a")[0], rows(text, "33")[0]
    for found in full_report().models["student"]:
        value = str(found.auc).split()[0]
        assert value in tripod
    assert "external clinic" in claim
    assert "eyepacs test" not in claim
    assert rows(text, "17")[0] == f"**{BLANK}:** ethical approval and consent"


def test_a_run_that_knows_little_says_so_instead_of_leaving_an_item_out():
    little = render_checklist(bare(evaluation("only")))
    assert rows(little, "12c")[0].startswith(f"**{BLANK}:**")
    assert len(re.findall(r"^\| \d+[a-g]? \|", little, re.MULTILINE)) == 52 + 44
    assert BLANK in render_model_card(bare())


@RENDERERS
def test_research_use_only_is_said_first(render):
    for report in (full_report(), bare(evaluation("only")), bare()):
        assert "**Research use only, not a medical device.**" in "\n".join(render(report).splitlines()[:4])


@RENDERERS
def test_a_hostile_name_stays_text_and_breaks_no_table(render):
    plain = render(full_report())
    name = HOSTILE + "\n| a | b |\n# title [x](y)"
    hostile = render(full_report(name))
    assert "<" not in hostile
    assert len(hostile.splitlines()) == len(plain.splitlines())
    for before, after in zip(plain.splitlines(), hostile.splitlines(), strict=True):
        assert len(re.findall(r"(?<!\\)\|", after)) == len(re.findall(r"(?<!\\)\|", before))
        assert not re.search(r"(?<!\\)\]\(", after)


@RENDERERS
def test_nothing_undefined_is_a_number(render):
    for report in (full_report(), bare(evaluation("healthy", grade=0)), bare(evaluation("tiny", num_images=4))):
        assert not re.search(r"\b(nan|inf|None)\b", render(report))


def test_both_are_written_whole_where_they_were_asked_for(tmp_path):
    report = dataclasses.replace(full_report(), title="a title of its own")
    write_model_card(str(tmp_path / "card.md"), report)
    write_checklist(str(tmp_path / "list.md"), report)
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == render_model_card(report)
    assert (tmp_path / "list.md").read_text(encoding="utf-8") == render_checklist(report)
