"""The add-on's one error that an artist can meet."""


class AddonError(Exception):
    """Something an artist can do something about; operators show it as it is.

    Args:
        message: one sentence: what happened, naming the photo, file or object.
        hint: one sentence: the way out. Never empty.
    """

    def __init__(self, message: str, hint: str):
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint
