"""Turns README and docs into the pages that the extension carries: ``python -m building.guide FOLDER``.

Runs in the engine's environment, which has markdown-it.
"""

from __future__ import annotations

import html
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from building.shell import ROOT

START = "index.html"
PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 sans-serif }}
img {{ max-width: 100% }} table {{ border-collapse: collapse }}
td, th {{ padding: .2rem .6rem; border: 1px solid #ccc }}
pre {{ overflow-x: auto; padding: .6rem; background: #f4f4f4 }}
</style>
{body}
</html>
"""


def make(folder: Path) -> None:
    """Write README as :data:`START`, every page of docs beside it, and the pictures that they show.

    Pictures that are drawn from text are left out: no browser draws them by itself.

    Args:
        folder: is made.

    Raises:
        FileNotFoundError: a page shows a picture or leads to a page that does not exist.
    """
    folder.mkdir(parents=True)
    pages = _pages()
    markdown = MarkdownIt("commonmark").enable("table")
    for page in pages:
        tokens = [token for token in markdown.parse(page.read_text("utf-8")) if token.info != "mermaid"]
        for token in _all(tokens):
            if token.type == "image":
                picture = _inside(page, str(token.attrs["src"]))
                shutil.copy(picture, folder / picture.name)
                token.attrs["src"] = picture.name
            elif token.type == "link_open":
                _turn(page, token)
        title = re.sub(r"[#*`]", "", page.read_text("utf-8").splitlines()[0]).strip()
        body = RendererHTML().render(tokens, markdown.options, {})
        (folder / _name(page)).write_text(PAGE.format(title=html.escape(title), body=body), "utf-8")


def _pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _all(tokens: Sequence[Token]) -> list[Token]:
    return [one for token in tokens for one in (token, *_all(token.children or ()))]


def _name(page: Path) -> str:
    return START if page.name == "README.md" else page.with_suffix(".html").name


def _turn(page: Path, token: Token) -> None:
    """Let a link lead to the made page; what the extension does not carry is no link."""
    link = urlsplit(str(token.attrs["href"]))
    if link.scheme or not link.path:
        return
    target = _inside(page, link.path)
    if target in _pages():
        token.attrs["href"] = _name(target) + (f"#{link.fragment}" if link.fragment else "")
    else:
        del token.attrs["href"]


def _inside(page: Path, path: str) -> Path:
    """What a page's relative path leads to."""
    return (page.parent / path).resolve(strict=True)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
