"""Takes the pictures of the page that the README shows, light and dark, from what the demo recorded.

python3 dev.py screenshots [RECORDING]

Without a recording the demo is run first, which takes a minute. The pictures go to docs/pictures.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import browser as browsers
from support.aggregators import aggregator
from support.browser import Page
from support.palette import reduced

ROOT = pathlib.Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
WIDTH, TALLEST = 1120, 720
MARGIN = 20
"""Pixels below the last card."""


def look(page: Page) -> None:
    """As the view is."""


def choose_judge(page: Page) -> None:
    page.tab.locator(".fall .name button", has_text="logistic-regression").click()
    page.tab.wait_for_selector("pre.payload")


def label(page: Page) -> None:
    page.tab.locator("a.pen").nth(1).click()
    page.tab.wait_for_selector("dialog h3")


VIEWS: dict[str, tuple[str, Callable[[Page], None]]] = {
    "overview": ("overview?run=digits", look),
    "items": ("items?run=digits&agreement=2/3", look),
    "label": ("items?run=digits&correct=wrong", label),
    "trace": ("trace?item=4&run=digits", choose_judge),
    "flow": ("flow?run=digits", look),
    "members": ("members?run=digits", look),
}
"""By the name of the picture: a view of the demo's recording, and what is done there."""


def take(page: Page, name: str, theme: str) -> pathlib.Path:
    bottom = page.tab.evaluate("document.querySelector('main .view').getBoundingClientRect().bottom")
    height = min(TALLEST, int(bottom) + MARGIN)
    path = PICTURES / f"{name}-{theme}.png"
    path.write_bytes(
        reduced(page.tab.screenshot(animations="disabled", clip={"x": 0, "y": 0, "width": WIDTH, "height": height}))
    )
    return path


def take_all(ready: dict[str, Any]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for browser in browsers.chromium():
        for theme in ("light", "dark"):
            page = Page(browser, f"http://127.0.0.1:{ready['http_port']}/", theme=theme, width=WIDTH)
            for name, (view, prepare) in VIEWS.items():
                page.open(view)
                page.see("live")
                prepare(page)
                path = take(page, name, theme)
                print(f"{path.relative_to(ROOT)}  {path.stat().st_size // 1000} kB", flush=True)
            page.close()


def main(arguments: list[str]) -> int:
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print(__doc__)
        return 2
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "demo"
        if arguments:
            shutil.copytree(arguments[0], directory)  # the recording itself stays as it is
        else:
            demo = [str(pathlib.Path(sys.executable).with_name("embertrace")), "demo", str(directory)]
            subprocess.run(demo, check=True, stdout=subprocess.DEVNULL)
        ready, _ = stack.enter_context(aggregator(directory))
        take_all(ready)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
