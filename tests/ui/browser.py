"""Debian's Chromium, and the pictures that it takes."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, expect, sync_playwright

NAMES = ("chromium", "google-chrome")
# Without these it looks for hosts of its maker's at every start.
QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
QUIET += ("--disable-component-update", "--disable-sync")
WIDE = (1280, 1100)
PATIENCE = 60_000  # ms: a busy machine is not a broken promise
SHARPNESS = 1.3
LARGEST = 150_000  # bytes


@contextmanager
def chromium() -> Iterator[Page]:
    """Open a page of a browser that knows nothing, in a light theme, in English and in UTC."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise SystemExit(f"No browser: install Debian's chromium (looked for {', '.join(NAMES)}).")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=program, args=QUIET) as browser:
        context = browser.new_context(
            color_scheme="light", locale="en-US", timezone_id="UTC", device_scale_factor=SHARPNESS
        )
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        resize(page, *WIDE)
        yield page


def resize(page: Page, width: int, height: int) -> None:
    """Make the window so large, for a picture that holds what matters and little else."""
    page.set_viewport_size({"width": width, "height": height})


class Album:
    """The pictures, each of them small enough for a README.

    :param folder: where they are kept; older ones of the same name are replaced.
    :param private: texts that no picture may show.
    """

    def __init__(self, folder: Path, private: list[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._private = private

    def take(self, name: str, what: Page | Locator, clip: FloatRect | None = None) -> None:
        """Keep a picture, having made sure that what it shows is for everyone."""
        page = what if isinstance(what, Page) else what.page
        page.mouse.move(0, 0)
        texts = page.locator("body").inner_text()
        shown = [text for text in self._private if text in texts]
        assert not shown, f"the picture {name} shows {shown}"
        part = {"clip": clip} if clip else {}
        save(what.screenshot(animations="disabled", caret="hide", **part), self.folder / f"{name}.png")


def save(taken: bytes, path: Path) -> None:
    """Write a picture with few colours, which is all that a page has."""
    with Image.open(io.BytesIO(taken)) as picture:
        small = picture.convert("RGB")
    small.quantize(dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size <= LARGEST, f"{path.name} is too large for a README"
