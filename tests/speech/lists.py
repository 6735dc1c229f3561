"""The list of phrases as it is shipped."""

from importlib import resources

from speech import phrases
from speech.phrases import PhraseList

TEXT = (resources.files("speech") / phrases.FILE).read_text(encoding="utf-8")
BOOK = phrases.read(TEXT, phrases.FILE)


def said(book: PhraseList) -> list[str]:
    """Every phrase of a list."""
    return [one.text for one in (*book.forbidden, *book.greetings)]
