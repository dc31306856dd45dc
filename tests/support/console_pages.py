"""The console in a browser: pages of signed-in people, with a check of what the browser reports."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from console.cookies import SESSION
from tests.support.stack import Stack

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

PHONE = {"width": 360, "height": 740}
OVERFLOW = "document.documentElement.scrollWidth > window.innerWidth"
EXPECTED = ("Failed to load resource: the server responded with a status of ", "Clear-Site-Data header on ")
"""The beginnings of harmless reports: of expected error pages, and of signing out."""


@dataclass
class Pages:
    """The console on its port, the services behind it, and a browser."""

    browser: "Browser"
    stack: Stack
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def person(self, role: str = "admin", *, project: str = "", **options: Any) -> "AsyncIterator[Page]":
        """A page of a person who signed in with the token of that name, in a browser context of their own.

        At the end it checks that no other origin was called, and that the browser reported no exception and no
        violation of CSP. `options` are the context's.
        """
        context = await self.browser.new_context(base_url=self.origin, **options)
        watch = Watch(self.origin)
        context.on("page", watch.follow)
        page = await context.new_page()
        await self.sign_in(page, role)
        if project:
            await page.goto(f"/workflows?project={project}")
        yield page
        await context.close()
        watch.check()

    async def sign_in(self, page: "Page", role: str) -> None:
        await page.goto("/sign-in")
        await page.get_by_label("Personal Access Token").fill(self.stack.people.secret(role))
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/workflows*")

    @asynccontextmanager
    async def stranger(self, **options: Any) -> "AsyncIterator[Page]":
        """A page of a visitor who has not signed in."""
        context = await self.browser.new_context(base_url=self.origin, **options)
        watch = Watch(self.origin)
        context.on("page", watch.follow)
        yield await context.new_page()
        await context.close()
        watch.check()


@dataclass
class Watch:
    """The requests of pages, and the browser's reports about them."""

    origin: str
    elsewhere: list[str] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)

    def follow(self, page: "Page") -> None:
        page.on("request", lambda request: self._ask(request.url))
        page.on("console", self._report)
        page.on("pageerror", lambda error: self.reported.append(str(error)))

    def check(self) -> None:
        assert self.elsewhere == []
        assert self.reported == []

    def _ask(self, url: str) -> None:
        if not url.startswith((f"{self.origin}/", "data:", "blob:", "about:")):
            self.elsewhere.append(url)

    def _report(self, message: "ConsoleMessage") -> None:
        if not message.text.startswith(EXPECTED):
            self.reported.append(message.text)


async def session_cookie(context: "BrowserContext") -> dict[str, Any] | None:
    return next((dict(each) for each in await context.cookies() if each["name"] == SESSION), None)
