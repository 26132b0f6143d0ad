"""The report in a real browser: nothing is loaded, nothing goes wrong, it fits a phone, the threshold moves calls."""

from datetime import UTC, datetime

import numpy as np
import pytest

from raydr.grades import REFERABLE_GRADE
from raydr.images.jpeg import encode
from raydr.metrics.evaluation import evaluate_dataset
from raydr.metrics.operating import at_threshold, choose_operating_points
from raydr.metrics.scored_images import ScoredImages
from raydr.reporting.report import Report, ScoredPicture, write_report

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
WIDTHS = {"desk": 1280, "phone": 390}
COUNTS = {"tp": "true_positives", "fp": "false_positives", "tn": "true_negatives", "fn": "false_negatives"}


def scored(seed, num_images=600):
    generator = np.random.default_rng(seed)
    grade = generator.integers(0, 5, num_images)
    return ScoredImages(
        image_id=np.arange(num_images).astype(str),
        patient=(np.arange(num_images) // 2).astype(str),
        grade=grade,
        probability=1 / (1 + np.exp(2 - grade - 1.5 * generator.normal(size=num_images))),
        grade_probability=generator.dirichlet(np.ones(5), num_images),
    )


@pytest.fixture(scope="module")
def images():
    return [scored(0), scored(1)]


@pytest.fixture(scope="module")
def page(images, tmp_path_factory):
    points = choose_operating_points(images[0].grade >= REFERABLE_GRADE, images[0].probability)
    found = [
        evaluate_dataset(name, part, points, num_resamples=200, num_band_resamples=50)
        for name, part in zip(("clinic", "another clinic"), images, strict=True)
    ]
    jpeg = encode(np.full((96, 96, 3), 120, dtype=np.uint8))
    pictures = [ScoredPicture(f"p{grade}", "clinic", jpeg, 0.9, grade, jpeg) for grade in (0, 4)]
    report = Report(
        "a run",
        datetime(2026, 3, 4, tzinfo=UTC),
        {"student": found, "teacher": found[:1]},
        internal="clinic",
        settings="seed = 0\n" * 40,
        worst_errors=pictures,
        highest_scored=pictures,
    )
    file = tmp_path_factory.mktemp("page") / "report.html"
    write_report(str(file), report)
    assert file.stat().st_size < 3_000_000
    return file


@pytest.fixture(scope="module")
def browser(chromium, page):
    chromium.get(page.as_uri())
    return chromium


def move(browser, step):
    browser.execute_script(
        "const slider = document.getElementById('threshold'); slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input'))",
        step,
    )


def calls(browser, place):
    script = (
        "return Object.fromEntries([...document.querySelectorAll(`[data-calls='${arguments[0]}'] [data-figure]`)]"
        ".map((cell) => [cell.dataset.figure, cell.textContent]))"
    )
    return browser.execute_script(script, place)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_page_fits_its_width_and_can_be_looked_at(browser, show, tmp_path, width, scheme):
    show(width, scheme=scheme)
    widths = browser.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths[0] <= widths[1]
    (tmp_path / f"{scheme}-{width}.png").write_bytes(browser.get_screenshot_as_png())
    assert (tmp_path / f"{scheme}-{width}.png").stat().st_size > 10_000


def test_the_threshold_moves_the_calls_to_the_right_numbers_in_every_data_set(browser, images):
    data = browser.execute_script("return JSON.parse(document.getElementById('threshold-data').textContent)")
    last = len(data["thresholds"]) - 1
    assert last > 400
    for step in (0, last // 5, data["start"], last // 2, last):
        move(browser, step)
        threshold = data["thresholds"][step]
        for place, part in enumerate(images):
            wanted = at_threshold(part.grade >= REFERABLE_GRADE, part.probability, threshold)
            shown = calls(browser, place)
            assert {name: int(shown[name]) for name in COUNTS} == {
                name: getattr(wanted, field) for name, field in COUNTS.items()
            }
            for name in ("sensitivity", "specificity"):
                assert shown[name.capitalize()] == f"{getattr(wanted, name).value:.3f}"
            severe = part.probability[part.grade == 4]
            assert shown["grade-4"] == f"{(severe >= threshold).sum()} of {len(severe)}"


def test_a_chosen_threshold_is_one_press_away_and_its_ring_lies_on_the_curve(browser, images):
    button = browser.find_elements("css selector", "button[data-step]")[0]
    browser.execute_script("arguments[0].click()", button)
    assert button.get_attribute("aria-pressed") == "true"
    ring = browser.find_element("css selector", "circle[data-cursor='roc'][data-set='0']")
    left, top, right, bottom = map(float, ring.find_element("xpath", "..").get_attribute("data-frame").split())
    shown = calls(browser, 0)
    across = (float(ring.get_attribute("cx")) - left) / (right - left)
    up = (bottom - float(ring.get_attribute("cy"))) / (bottom - top)
    assert across == pytest.approx(1 - float(shown["Specificity"]), abs=1e-3)
    assert up == pytest.approx(float(shown["Sensitivity"]), abs=1e-3)


def test_a_curve_is_read_where_the_pointer_is(browser, show):
    show(WIDTHS["desk"])
    browser.execute_script(
        "const curve = document.querySelector('#curves path[data-values]'), svg = curve.closest('svg');"
        "svg.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const at = new DOMPoint(...curve.getAttribute('d').slice(1).split('L')[3].split(' ').map(Number))"
        ".matrixTransform(svg.getScreenCTM());"
        "svg.dispatchEvent(new PointerEvent('pointermove', {clientX: at.x, clientY: at.y, bubbles: true}))"
    )
    reading = browser.find_element("css selector", ".reading").text
    for word in ("False positive rate", "Sensitivity", "Threshold"):
        assert word in reading


def test_without_a_script_the_calls_stand_at_the_main_threshold_and_nothing_is_there_that_would_not_work(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page.as_uri())
        assert not browser.find_element("id", "threshold").is_displayed()
        assert browser.find_element("css selector", ".still").is_displayed()
        assert not any(mark.is_displayed() for mark in browser.find_elements("css selector", "svg .cursor"))
        assert int(browser.find_element("css selector", "[data-calls='0'] [data-figure='tp']").text) > 0
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        browser.get(page.as_uri())


def test_nothing_was_loaded_and_the_console_is_silent(browser):
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [address for address in loaded if not address.startswith("data:")] == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []
