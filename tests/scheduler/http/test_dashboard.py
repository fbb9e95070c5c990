"""The dashboard in a real browser: it shows what is there, and nothing that comes from outside becomes markup."""

from __future__ import annotations

import asyncio
import re
import shutil
from html.parser import HTMLParser
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from lingua_scheduler.auth import AuthRules
from lingua_state.models import Access, Capability
from scheduler.http.world import add_instance, add_job, add_node, add_session, finish

if TYPE_CHECKING:
    from pathlib import Path

    from scheduler.http.conftest import Served

STATIC = files("lingua_scheduler.http") / "static"
FILES = ("dashboard.html", "dashboard.css", "dashboard.js")
#: An id that a node could never register with, put into the store past every check.
EVIL = "<img src=x onerror=document.title='taken'>"


class Page(HTMLParser):
    """A page as the browser ended up with it."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.hidden: set[str | None] = set()
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if "hidden" in dict(attrs):
            self.hidden.add(dict(attrs).get("id"))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


async def look(url: str, profile: Path) -> Page:
    """Open a page in chromium, let its scripts work, and read what came of it."""
    browser = shutil.which("chromium")
    assert browser is not None, "the dashboard is tested in a browser: install the Debian package chromium"
    process = await asyncio.create_subprocess_exec(
        browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
        "--virtual-time-budget=3000", "--dump-dom", f"{url}/dashboard",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        markup, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Page(markup.decode())


async def test_it_shows_nodes_jobs_pairs_sessions_and_instances(served: Served, tmp_path: Path) -> None:
    store = served.port.store
    await add_node(store, "node-of-rome", capacity=1)
    done = await add_job(store)
    await finish(store, done)
    await add_job(store)
    await add_job(store)
    await add_session(store, "session-one")
    await add_instance(store, "here")
    page = await look(served.url, tmp_path)
    for wanted in ("ready", "node-of-rome", "1 / 1", "en → es", done, "completed", "session-one", "1 waiting, oldest"):
        assert wanted in page.text, wanted
    assert "this one" in page.text


async def test_an_empty_cell_says_so(served: Served, tmp_path: Path) -> None:
    page = await look(served.url, tmp_path)
    assert "No node has registered yet." in page.text
    assert "Nobody is connected." in page.text
    assert "token-form" in page.hidden


async def test_names_from_outside_stay_text(served: Served, tmp_path: Path) -> None:
    store = served.port.store
    evil = Capability(("en",), ("es",), access=Access(public=False, tenants=("<b>acme</b>",)))
    await add_node(store, EVIL, evil)
    page = await look(served.url, tmp_path)
    assert EVIL in page.text
    assert "<b>acme</b>" in page.text
    assert "img" not in page.tags
    assert "Lingua" in page.text


class TestGuarded:
    """With authentication on."""

    @pytest.fixture
    def rules(self) -> AuthRules:
        return AuthRules(secret="0123456789abcdef0123456789abcdef")

    async def test_without_a_token_the_page_asks_for_one_and_shows_nothing(
        self, served: Served, tmp_path: Path
    ) -> None:
        await add_node(served.port.store, "node-of-rome")
        page = await look(served.url, tmp_path)
        assert "token-form" not in page.hidden
        assert "node-of-rome" not in page.text


async def test_the_page_needs_nothing_from_elsewhere_and_nothing_inline(served: Served) -> None:
    _, _, headers = await served.ask("/dashboard")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    for name in FILES:
        text = (STATIC / name).read_text()
        assert not re.search(r"https?://|//[a-z]+\.", text), name
    markup = (STATIC / "dashboard.html").read_text()
    assert not re.search(r"\son\w+=|style=|<style|<script>", markup)


def test_no_script_builds_markup_from_data() -> None:
    script = (STATIC / "dashboard.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", script)


async def test_the_bare_address_leads_to_the_dashboard(served: Served) -> None:
    status, _, headers = await served.ask("/", allow_redirects=False)
    assert (status, headers["Location"]) == (302, "/dashboard")
