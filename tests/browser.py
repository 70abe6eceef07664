"""Chromium, for tests of pages. They skip where there is none."""

import os
import shutil
from contextlib import contextmanager

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDS_BROWSER = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH: apt-get install chromium")


@contextmanager
def chromium():
    """A browser of playwright's, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev group of pyproject.toml")
    # As root Chromium has no sandbox.
    words = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=words)
        yield browser
        browser.close()


def listen(page):
    """What the page will say of errors and warnings, and ask for beside itself."""
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request",
        lambda request: said.append(request.url) if request.url[:4] not in ("file", "data", "blob") else None,
    )
    return said
