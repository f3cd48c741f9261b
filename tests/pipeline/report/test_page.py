import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from fusecat.pipeline.report.cards import cards, choose
from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.output import write_report
from fusecat.stages.scores import Outcome
from tests.pipeline.report.studies import make_study
from tests.pipeline.report.test_comparison import FEW

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
]
HOSTILE = '<script>alert("pwned")</script><img src=x onerror=alert(1)>\x1b[31mred =cmd()'

PROBE = """
const seen = {violations: [], errors: []};
addEventListener("securitypolicyviolation", (event) => seen.violations.push(event.blockedURI + " " + event.violatedDirective));
addEventListener("error", (event) => seen.errors.push(String(event.message)));
addEventListener("load", () => {
  const images = [...document.images];
  for (const image of images) image.loading = "eager";
  const pictures = [...document.querySelectorAll("figure svg")].filter((one) => getComputedStyle(one).display !== "none");
  seen.figures = document.querySelectorAll("figure").length;
  seen.drawn = pictures.filter((one) => one.getBBox().width > 50 && one.querySelectorAll("path, use").length > 3).length;
  const wide = document.documentElement.scrollWidth;
  seen.overflow = wide - document.documentElement.clientWidth;
  for (const one of document.querySelectorAll("details")) one.open = true;
  const cut = (table) => table.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
  seen.cut = [...document.querySelectorAll("table")].filter(cut).map((one) => one.closest("section").id);
  const fetched = performance.getEntriesByType("resource").map((one) => one.name);
  seen.requests = fetched.filter((name) => !name.startsWith("data:"));
  const table = document.querySelector("#strategies table");
  const button = [...table.querySelectorAll("thead button")].find((one) => one.textContent === "log loss");
  const column = [...table.tHead.rows[0].cells].indexOf(button.closest("th"));
  const values = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[column].dataset.value));
  button.click(); seen.down = values();
  button.click(); seen.up = values();
  const images_done = () => images.every((one) => one.complete);
  const finish = () => {
    seen.images = images.map((one) => one.naturalWidth);
    document.body.dataset.probe = JSON.stringify(seen);
  };
  images_done() ? finish() : setTimeout(finish, 500);
});
"""


def read_in_browser(page, tmp_path, *, width=1280, html=None):
    """Load the page with a probe that its own policy is told to let through; what the probe saw, and the console's lines."""
    text = html or page.read_text()
    mark = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    text = text.replace("script-src ", f"script-src &#39;sha256-{mark}&#39; ", 1)
    text = re.sub(
        r'(<meta http-equiv="Content-Security-Policy"[^>]*>)', lambda found: f"{found[0]}<script>{PROBE}</script>", text
    )
    probed = tmp_path / "probed.html"
    probed.write_text(text)
    command = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1000"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=3000", "--dump-dom", probed.as_uri()], capture_output=True, text=True, timeout=120
    )
    attribute = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert attribute, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(attribute[1].replace("&quot;", '"').replace("&amp;", "&")), console


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A study whose every text is hostile, on a catalogue that really holds it."""
    root = tmp_path_factory.mktemp("hostile")
    catalogue = root / "catalogue"
    catalogue.mkdir()
    sizes = {"train": 60, "validation": 30, "test": 40}
    count = sum(sizes.values())
    rows = [f"{at}\t{HOSTILE}{at}\t{HOSTILE}\t{at}\t{at}" for at in range(count)]
    (catalogue / "X_train.tsv").write_text("Integer_id\tTitle\tDescription\tImage_id\tProduct_id\n" + "\n".join(rows) + "\n")
    labels = [f"{at}\t{at}\t{at}\t{10 + at % 5}" for at in range(count)]
    (catalogue / "Y_train.tsv").write_text("Integer_id\tImage_id\tProduct_id\tPrdtypecode\n" + "\n".join(labels) + "\n")
    info = {
        "catalogue": str(catalogue),
        "class_names": {str(10 + at): HOSTILE for at in range(5)},
        "top_level": {str(10 + at): HOSTILE + str(at % 2) for at in range(5)},
        "commands": [HOSTILE],
        "warnings": [{"kind": HOSTILE, "count": 1, "first": HOSTILE, "treatment": HOSTILE}],
        "versions": {HOSTILE: HOSTILE},
        "features": {HOSTILE: {"curve": [{"epoch": at, "macro_f1": 0.1 * at} for at in (1, 2)]}},
    }
    codes = [str(10 + at) for at in range(5)]
    strategies = [*FEW, "flat/$x$ <b>&amp;"]
    make_study(
        root / "workspace",
        strategies=strategies,
        classes=5,
        codes=codes,
        products=sizes,
        ids=[str(at) for at in range(count)],
        labels=[at % 5 for at in range(count)],
        info=info,
    )
    write_report(compare(root / "workspace", resamples=50))
    return root / "workspace" / "report"


def test_hostile_texts_stay_texts(hostile):
    page = (hostile / "index.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert [attributes for tag, attributes in tags.seen if tag == "script"] == [{}]
    assert all(not name.startswith("on") and name != "style" for _, attributes in tags.seen for name in attributes)
    assert all(attributes["src"].startswith("data:image/jpeg") for tag, attributes in tags.seen if tag == "img")
    assert "alert(&#34;pwned&#34;)" in page


def test_no_output_can_drive_a_terminal_a_spreadsheet_or_a_markdown_viewer(hostile):
    for name in ("index.html", "report.md", "report.csv", "report.tex", "report.json"):
        assert "\x1b" not in (hostile / name).read_text(), name
    assert "<script" not in (hostile / "report.md").read_text()
    assert all(not cell.startswith(("=", "@")) for cell in re.split(r"[,\n]", (hostile / "report.csv").read_text()))


def test_the_page_asks_for_nothing_from_outside(hostile):
    page = (hostile / "index.html").read_text()
    assert not re.findall(r'(?:src|href|action)="(?!#|data:)[^"]*"', page)
    assert "default-src &#39;none&#39;" in page
    assert "unsafe" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_every_picture_sorts_and_stays_on_the_page(hostile, tmp_path, width):
    seen, console = read_in_browser(hostile / "index.html", tmp_path, width=width)
    assert (seen["violations"], seen["errors"], seen["requests"], console) == ([], [], [], [])
    assert seen["drawn"] == seen["figures"] > 5
    assert all(width > 0 for width in seen["images"])
    assert seen["down"] == sorted(seen["down"], reverse=True)
    assert seen["up"] == sorted(seen["up"])
    assert seen["overflow"] == 0


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_print_cuts_no_table(hostile, tmp_path):
    page = (hostile / "index.html").read_text()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    paper = style.replace("@media print", "@media all")
    old, new = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, paper))
    seen, _ = read_in_browser(
        hostile / "index.html",
        tmp_path,
        width=703,
        html=page.replace(style, paper).replace(old.replace("+", "&#43;"), new).replace(old, new),
    )  # 703 pixels: A4 less its margins
    assert seen["violations"] == []
    assert seen["cut"] == []


def test_a_catalogue_that_has_gone_is_said_and_does_not_fail_the_report(tmp_path):
    root = make_study(tmp_path, strategies=FEW, info={"catalogue": str(tmp_path / "gone")})
    found = cards(compare(root, resamples=20))
    assert "cannot be read any more" in found.missing
    assert all(card.title is None and card.thumbnail is None for of in found.kinds.values() for card in of)


def test_a_catalogue_without_pictures_or_names_leaves_no_empty_places(tmp_path):
    root = make_study(tmp_path, strategies=FEW, info={"class_names": {}})
    page = write_report(compare(root, resamples=20))[0].read_text()
    assert 'class="noimage"' not in page and 'class="card unpictured"' in page
    assert ">name</button>" not in page


def test_cards_show_what_they_promise(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 200)
    averages = {side: random.dirichlet(np.ones(4) / 2, 200) for side in ("chosen", "text alone", "image alone")}
    guesses = {side: of.argmax(axis=1) for side, of in averages.items()}
    picked = choose({side: Outcome.of(of, labels) for side, of in averages.items()}, labels, 6)
    repaired, suspect, wrong = picked["repairs"], picked["labels"], picked["errors"]
    assert (guesses["chosen"][repaired] == labels[repaired]).all() and (
        guesses["text alone"][repaired] != labels[repaired]
    ).all()
    assert all((of[suspect] == guesses["chosen"][suspect]).all() for of in guesses.values())
    assert (guesses["chosen"][suspect] != labels[suspect]).all() and (guesses["chosen"][wrong] != labels[wrong]).all()
    assert not set(suspect) & set(wrong)
