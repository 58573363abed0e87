"""The one family of errors that a user can cause; the command line prints them as a single line."""

SHOWN = 200
"""Characters of what a file or a library says that an error repeats."""


def brief(said: object) -> str:
    """What a file or a library says, as an error repeats it: on one line and not too long."""
    line = " ".join(str(said).split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."


DAMAGED = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""What reading the values of a damaged JSON file raises."""


class EmohopError(Exception):
    """Something outside the program is wrong: a path, a file, a setting.

    The message is one line that says what came, what is accepted and what to do next.

    Example:
        >>> emohop.load("nowhere")
        Traceback (most recent call last):
        emohop.errors.EmohopError: nowhere is not a model folder, it has no model.json: ...
    """


class UnknownNameError(EmohopError):
    """A name that no registry has: a model, a corpus, a feature encoder."""


class MediaError(EmohopError):
    """An audio or video file cannot be decoded, or does not hold the span asked for."""


class CorpusError(EmohopError):
    """A folder is not the corpus that it was said to be."""


class UnknownCorpusError(UnknownNameError, CorpusError):
    """A corpus that no reader is registered for."""


class MissingExtraError(EmohopError):
    """An optional dependency is not installed; the message holds the `pip install` line."""

    def __init__(self, feature: str, extra: str, note: str = "") -> None:
        """Say which `feature` needs which `extra`; `note` adds a licence or another way out."""
        super().__init__(feature, extra, note)  # as given, so that it survives pickling

    def __str__(self) -> str:
        feature, extra, note = self.args
        return f"{feature} needs an extra: pip install 'emohop[{extra}]'{note}"
