"""The page of an evaluation: whole in itself, and what it says is what JSON holds."""

import html.parser
import os

import numpy as np
import pytest

from scoresde import quality


def number(value, error=None, label="FD (pixels)"):
    return {"label": label, "value": value, "error": error, "error_is": "bootstrap"}


def result(values=(3.0, 2.0)):
    rows = [
        {"cell": {"step": 100 * i, "average": "<ema>"}, "seed": 0, "nfe_mean": 11.0}
        | {"metrics": {"fd": number(value, 0.25), "recall": number(0.5, None, "recall")}}
        for i, value in enumerate(values)
    ]
    floor = {"images": "9 test images", "metrics": {"fd": number(0.125)}}
    protocol = {"num": 64, "reference": {"data": "tiny, train", "images": 128}, "unfinished": 3}
    return {**rows[-1], **protocol, "floor": floor, "rows": rows}


IMAGES = np.random.default_rng(0).integers(0, 4, (20, 2, 2, 1), np.uint8)


class Tags(html.parser.HTMLParser):
    """All that a page is made of, and its text."""

    def __init__(self, page):
        super().__init__()
        self.attributes, self.open, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page():
    return quality.page(result(), {"images": IMAGES, "nearest": IMAGES, "distances": [0] * 20}, 4)


def test_nothing_is_fetched_from_elsewhere(page):
    tags = Tags(page)
    assert not tags.open
    sources = [value for _, name, value in tags.attributes if name in ("src", "href")]
    assert len(sources) == 3 and all(
        value.startswith("data:image/png;base64,") for value in sources
    )
    assert "http" not in page.replace(";base64,", "") or "://" not in page
    assert not any(word in page for word in ("url(", "@import", "<script", "<link"))


def test_it_says_what_was_measured_its_error_and_what_true_images_have(page):
    text = Tags(page).text
    for words in ("FD (pixels)", "0.25", "0.125", "9 test images", "64 samples", "128 images"):
        assert words in text
    assert "3 of the samples are not finite" in text
    assert "average <ema>" in text and "<ema>" not in page  # a name is no tag
    assert page.count('class="best"') == 1


def test_one_row_has_no_curves_and_no_pictures_where_there_are_none():
    page = quality.page(result([2.0]), {}, 4)
    assert "<img" not in page and "All that was evaluated" not in page


def test_a_browser_fetches_nothing_and_shows_every_picture(page, tmp_path):
    """Where Playwright has a browser, or CHROMIUM says where one is (CONTRIBUTING.md)."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    (tmp_path / "report.html").write_text(page)
    address = (tmp_path / "report.html").as_uri()
    with playwright.sync_playwright() as started:
        chromium = os.environ.get("CHROMIUM", started.chromium.executable_path)
        if not os.path.exists(chromium):
            pytest.skip("there is no browser")
        flags = ["--no-sandbox", "--single-process", "--no-zygote"]  # so that containers take it
        browser = started.chromium.launch(executable_path=chromium, args=flags)
        shown, fetched = browser.new_page(), []
        shown.on("request", lambda request: fetched.append(request.url))
        shown.goto(address)
        widths = shown.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert [url for url in fetched if not url.startswith("data:")] == [address]
        assert len(widths) == 3 and min(widths) > 0 and shown.title().startswith("Evaluation of")
        browser.close()
