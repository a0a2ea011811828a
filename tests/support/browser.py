"""A browser for tests: Chromium as the system has it, driven by playwright; skipped with the reason where it is not."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

SHOTS = pathlib.Path(__file__).resolve().parents[2] / "build" / "screenshots"
"""Where pictures of the views are kept, for people to look at."""
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> Iterator[Any]:
    """A running browser; its pages have a profile each."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"there is no {', '.join(NAMES)} on this machine (Debian: apt-get install chromium)")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # it refuses to be root's otherwise
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


class Page:
    """One tab. Whatever the page complains of in its console is an error of the test."""

    def __init__(self, browser: Any, address: str, theme: str = "light", width: int = 1280) -> None:
        self.address = address
        self.complaints: list[str] = []
        self._context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        self.tab = self._context.new_page()
        self.tab.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def open(self, view: str) -> None:
        """Go to a view, by its address behind the #, and wait until it is drawn."""
        self.tab.goto("about:blank")
        self.tab.goto(f"{self.address}#/{view}")
        self.drawn()

    def drawn(self) -> None:
        self.tab.wait_for_selector("html[data-ready]")

    @property
    def text(self) -> str:
        return str(self.tab.inner_text("main"))

    def see(self, text: str) -> None:
        """Wait until the view says so."""
        self.tab.wait_for_function("text => document.body.innerText.includes(text)", arg=text)

    def shoot(self, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.tab.screenshot(path=SHOTS / f"{name}.png", full_page=True)

    def close(self) -> None:
        self._context.close()
