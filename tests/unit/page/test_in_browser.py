"""The committed results as a page in Chromium: every link, filter and sort, by keyboard, narrow and dark."""

import itertools
import re
from urllib.parse import unquote

import pytest

from tests.browser import NEEDS_BROWSER, chromium, listen
from twostage.page.build import build

from .conftest import COMMITTED

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(build(COMMITTED))
    assert path.stat().st_size < 15e6
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser, address):
    """Opens the page; fails if it says an error or asks for anything beside itself."""
    said, pages = [], []

    def open_page(**how):
        page = browser.new_page(**{"reduced_motion": "reduce", **how})
        page.set_default_timeout(60_000)
        said.append(listen(page))
        page.goto(address)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert [*itertools.chain(*said)] == []


def shown(page):
    """The ids of the rows that are to be seen, in their order."""
    return page.evaluate(
        "[...document.querySelectorAll('.board tbody tr')].filter(row => row.checkVisibility()).map(row => row.id)"
    )


def test_every_link_leads_somewhere_and_every_picture_has_words(opened):
    page = opened()
    links = page.evaluate("[...document.querySelectorAll('a[href]')].map(link => link.getAttribute('href'))")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    inside = {link[1:] for link in links if link.startswith("#")}
    assert inside - set(ids) == set()
    assert len(inside) > 100
    for link in set(links):
        assert link.startswith("#") or (COMMITTED / unquote(link)).is_file(), link
    pictures = page.evaluate("[...document.querySelectorAll('main img')].map(each => [each.alt, each.naturalWidth])")
    assert all(len(alt) > 5 for alt, _ in pictures)
    page.evaluate(
        "Promise.all([...document.images].map(each => { each.loading = 'eager'; return each.src && each.decode(); }))"
    )
    cells = page.locator(".board tbody td, .board tbody th").all_inner_texts()
    assert all(cell.strip() for cell in cells)
    assert len(cells) == 6 * 89


def test_every_filter_shows_what_it_names(opened):
    page = opened()
    everything = shown(page)
    for name in ("paper", "verdict"):
        values = page.evaluate(f"[...document.querySelectorAll('[name={name}] option')].map(option => option.value)")
        assert len(values) > 2
        found = []
        for value in values[1:]:
            page.select_option(f"[name={name}]", value)
            rows = shown(page)
            assert 0 < len(rows) < len(everything), value
            assert page.text_content("output") == f"{len(rows)} of {len(everything)} claims"
            if value not in ("decided", "look"):
                assert all(value in page.text_content(f"#{row}") for row in rows)
                found += rows
        assert sorted(found) == sorted(everything)
        page.select_option(f"[name={name}]", "")
    page.fill("[name=text]", "row-major")
    assert "claim-E20" in shown(page)
    assert all("row-major" in page.text_content(f"#{row}").lower() for row in shown(page))
    page.fill("[name=text]", "no claim says this")
    assert shown(page) == []
    page.click(".none button")
    assert shown(page) == everything
    # The counts at the top are filters, too.
    page.locator("a[data-verdict]").first.click()
    page.wait_for_function("document.querySelector('output').value.includes('of')")
    assert f"{len(shown(page))}" == page.locator(".verdicts b").first.text_content()
    # A link to a claim that a filter hides shows it again.
    page.evaluate("location.hash = 'claim-M08'")
    page.wait_for_function("document.querySelector('#claim-M08').checkVisibility()")


def test_every_column_sorts_both_ways(opened):
    page = opened()
    for column in range(page.locator(".board thead button").count()):
        keys = f"[...document.querySelectorAll('.board tbody tr')].map(row => row.cells[{column}].dataset.sort)"
        head = page.locator(".board thead th").nth(column)
        for direction in ("ascending", "descending"):
            if head.get_attribute("aria-sort") != direction:
                head.locator("button").click()
            assert head.get_attribute("aria-sort") == direction
            assert page.locator("[aria-sort]").count() == 1
            # What has no number is last, whichever way.
            found = page.evaluate(keys)
            filled = [key for key in found if key]
            assert found == filled + [""] * (len(found) - len(filled))
            # Numbers by their size; the browser knows the order of words.
            numbers = [float(match[0]) for key in filled if (match := re.match(r"-?[\d.]+", key))]
            assert numbers == sorted(numbers, reverse=direction == "descending")


def test_the_keyboard_reaches_filters_sorts_and_pictures(opened):
    page = opened()
    reached = []
    while "sort" not in reached and len(reached) < 60:
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.closest('thead') ? 'sort' : document.activeElement.name ?? ''")
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", reached
    assert {"text", "paper", "verdict", "sort"} <= set(reached)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator(".board thead th").nth(1).get_attribute("aria-sort") == "ascending"
    page.locator(".gallery .zoom").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog").is_visible()
    width = "document.querySelector('dialog img').getBoundingClientRect().width"
    before = page.evaluate(width)
    page.locator("dialog input").press("End")
    assert page.evaluate(width) == pytest.approx(8 * before, rel=0.05)
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    slider = page.locator(".slider input").first
    slider.press("Home")
    assert page.locator(".pair").first.evaluate("each => each.style.getPropertyValue('--at')") == "0%"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_it_fits_every_window_in_both_schemes(opened, width, scheme):
    page = opened(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colours = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    ground, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (ground < 150 and ink > 600) if scheme == "dark" else (ground > 700 and ink < 150)


def test_orders_are_drawn_token_by_token_for_those_who_want_motion(opened):
    page = opened()
    orders, count = page.locator(".orders"), page.locator(".orders input")
    whole = count.get_attribute("max")
    orders.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert (count.input_value(), orders.locator(".play").text_content()) == (whole, "Play")
    count.fill("3")
    assert orders.locator("svg").first.locator("rect:not(.next)").count() == 3
    page = opened(reduced_motion="no-preference")
    orders = page.locator(".orders")
    orders.evaluate("each => each.scrollIntoView({block: 'center', behavior: 'instant'})")
    page.wait_for_function("document.querySelector('.orders .play').textContent === 'Pause'")
    orders.locator(".play").click()
    assert int(orders.locator("input").input_value()) <= int(whole)


def test_films_show_each_chain_from_noise_to_its_end(opened):
    page = opened()
    films, along = page.locator(".films").first, page.locator(".films input").first
    film = films.locator("figure").last
    steps = film.get_attribute("data-steps").split()
    assert film.locator("output").text_content() == steps[-1]

    def shown():
        """Which part of the picture lies in the frame: its top edge, in frames."""
        return film.evaluate(
            """each => {
                const [frame, image] = [".frame", "img"].map(name => each.querySelector(name).getBoundingClientRect());
                return [(frame.top - image.top) / frame.height, image.height / frame.height];
            }"""
        )

    assert shown() == pytest.approx([len(steps) - 1, len(steps)], abs=0.1)
    along.fill("0")
    assert film.locator("output").text_content() == steps[0] == "0"
    assert shown() == pytest.approx([0, len(steps)], abs=0.1)
    along.press("ArrowRight")
    assert film.locator("output").text_content() == steps[1]
    page = opened(reduced_motion="no-preference")
    page.locator(".films").first.evaluate("each => each.scrollIntoView({block: 'center', behavior: 'instant'})")
    page.wait_for_function("document.querySelector('.films .play').textContent === 'Pause'")
