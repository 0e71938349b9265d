"""The engine's one family of errors: what happened, to which photo or file, and what to do about it."""


class EngineError(Exception):
    """Base of every error that a user can meet.

    Args:
        message: one sentence: what happened, naming the photo, file or option.
        hint: one sentence: the way out. Shown after the message, never empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str):
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint


class PhotoError(EngineError):
    """A photo, clip or sound cannot be used (unreadable, no face, too large, another person)."""

    exit_code = 3


class HeadModelError(EngineError):
    """A head model's file is missing, damaged, hostile or of an unknown kind."""

    exit_code = 4


class AvatarError(EngineError):
    """An avatar file is truncated, damaged, hostile or of an unknown version."""

    exit_code = 5


class AssetError(EngineError):
    """A data file that the engine needs is absent or does not match its pinned sha256."""

    exit_code = 6


class OutputError(EngineError):
    """A result cannot be written (read-only folder, full disk)."""

    exit_code = 7


class Cancelled(EngineError):
    """The user cancelled; nothing half-written is left behind."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("Cancelled.", "Nothing was written.")
