"""The page of an evaluation: whole in itself, and what it says is what JSON holds."""

import html.parser
import shutil
import subprocess

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


BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="there is no headless browser")
def test_a_browser_without_a_network_shows_it(page, tmp_path):
    (tmp_path / "report.html").write_text(page)
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'user'}"]
    # What the page's own pictures are, once they are decoded, a script beside it can tell.
    probe = "<script>onload=()=>document.title=[...document.images].map(i=>i.naturalWidth)</script>"
    (tmp_path / "probe.html").write_text(page + probe)
    done = subprocess.run(
        [*command, (tmp_path / "probe.html").as_uri()], capture_output=True, text=True, timeout=60
    )
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    widths = [int(width) for width in title.split(",")]
    assert len(widths) == 3 and min(widths) > 0, done.stdout[-500:]
