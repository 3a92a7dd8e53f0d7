"""Find a Chromium for the browser tests, or let Playwright fetch its own: ``make test`` runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """Return the path of a Chromium: $MINIBAG_CHROMIUM, the system's, or Playwright's own."""
    found = os.environ.get("MINIBAG_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


if __name__ == "__main__":
    if chromium() is None:
        print("No Chromium on this machine: fetching Playwright's.")
        sys.exit(subprocess.call([sys.executable, "-m", "playwright", "install", "chromium"]))
