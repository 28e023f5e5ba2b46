"""A person with a browser, as far as the pages of identity providers need one: links, cookies, forms."""

import ssl
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx

_MOST_PAGES = 8
_AGREES = ("accept",)


class Form(HTMLParser):
    """The first form of a page. buttons: the fields that are sent only if they are pressed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.buttons: dict[str, str] = {}
        self._ended = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form" and self.action is None:
            self.action = given.get("action", "")
        elif tag in ("input", "button") and self.action is not None and not self._ended and given.get("name"):
            pressed = given.get("type") in ("submit", "button", "checkbox") or tag == "button"
            (self.buttons if pressed else self.fields)[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._ended = self._ended or tag == "form"


def agree(url: str, ca: Path, **known: str) -> str:
    """Open a page, fill in what is known by the names of fields, agree to everything. Returns the last page."""
    with httpx.Client(verify=ssl.create_default_context(cafile=ca), follow_redirects=True, timeout=60) as http:
        answer = http.get(url)
        for _ in range(_MOST_PAGES):
            form = Form(answer.text)
            if form.action is None:
                return answer.text
            fields = form.fields | {name: text for name, text in known.items() if name in form.fields}
            fields |= {name: form.buttons[name] for name in _AGREES if name in form.buttons}
            answer = http.post(urljoin(str(answer.url), form.action), data=fields)
    raise AssertionError(answer.text)
