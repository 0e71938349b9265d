"""pytest can read every test on every system: what only POSIX has is imported where it is used, not before."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from building.shell import ROOT

POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}


def imported(body: list[ast.stmt]) -> Iterator[str]:
    """Modules that are imported as soon as a file is, in branches and classes too."""
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (name.name.partition(".")[0] for name in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield (statement.module or "").partition(".")[0]
        elif isinstance(statement, ast.If | ast.With | ast.ClassDef | ast.For):
            yield from imported(statement.body)


def test_no_test_needs_posix_before_it_runs():
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for name in POSIX_ONLY.intersection(imported(ast.parse(path.read_text("utf-8")).body)):
            found.add(f"{path.relative_to(ROOT).as_posix()} imports {name}")
    assert not found
