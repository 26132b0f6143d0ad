"""The report of a study in a real browser: it fits a phone, and no words lie on one another or leave their place."""

import dataclasses

import pytest
from studies import study_cells, study_report

from raydr.reporting.study_report import write_study_report

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
OUTSIDE = """
return [...document.querySelectorAll(arguments[0])].filter((word) => {
  const own = word.getBoundingClientRect(), room = word.closest(arguments[1]).getBoundingClientRect();
  return own.left < room.left - 1 || own.right > room.right + 1;
}).map((word) => word.textContent)
"""
CUT = """
return [...document.querySelectorAll("td .range")].filter((line) => line.scrollWidth > line.clientWidth + 1)
  .map((line) => line.textContent)
"""
ON_ONE_ANOTHER = """
return [...document.querySelectorAll("svg")].flatMap((svg) => {
  const words = [...svg.querySelectorAll("text")].filter((word) => word.textContent);
  const boxes = words.map((word) => word.getBoundingClientRect());
  return words.flatMap((word, row) => words.slice(row + 1).filter((_, more) => {
    const one = boxes[row], other = boxes[row + 1 + more];
    return Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1
        && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > one.height * 0.3;
  }).map((other) => word.textContent + " / " + other.textContent));
})
"""
FAR_DOWN = {"a_rather_long_name": (0.55, 0.1), "imagenet": (0.6, 0.1), **{f"arm_{n}": (0.62, 0.1) for n in range(8)}}


@pytest.fixture(params=["seven arms", "ten arms"])
def browser(request, chromium, tmp_path):
    report = study_report()
    if request.param == "ten arms":
        names = dict.fromkeys(FAR_DOWN, "an arm")
        report = dataclasses.replace(report, cells=study_cells(FAR_DOWN), arms=names, title="x" * 80)
    write_study_report(str(tmp_path / "report.html"), report)
    chromium.get((tmp_path / "report.html").as_uri())
    return chromium


@pytest.mark.parametrize("width", [1280, 390])
def test_all_words_have_their_place(browser, show, width):
    show(width)
    root = "document.documentElement"
    assert browser.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
    assert browser.execute_script(OUTSIDE, "svg text", ".card") == []
    assert browser.execute_script(CUT) == []
    assert browser.execute_script(ON_ONE_ANOTHER) == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []


def test_arms_have_colours_of_their_own_in_light_and_dark(browser, show):
    colours = (
        "return [...document.querySelector('svg').querySelectorAll('.curve')].map((c) => getComputedStyle(c).stroke)"
    )
    seen = []
    for scheme in ("light", "dark"):
        show(1280, scheme=scheme)
        seen.append(browser.execute_script(colours))
    assert all(len(set(found)) >= 7 for found in seen)
    assert not set(seen[0]) & set(seen[1])
