"""The texts of the pages in German and English, from one TOML file per language."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

LANGUAGES: Final = ("de", "en")


def read_texts(language: str) -> dict[str, str]:
    """Every text of a language.

    Args:
        language: One of `LANGUAGES`.

    Returns:
        Texts by key, such as `nav.offers`.
    """
    source = files("connector.ui").joinpath("translations", f"{language}.toml")
    sections = tomllib.loads(source.read_text(encoding="utf-8"))
    return {f"{section}.{name}": text for section, texts in sections.items() for name, text in texts.items()}


class Translator:
    """The texts of one language, ready to be filled in."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        """Speak one language.

        Args:
            language: Its tag.
            texts: Its texts by key.
        """
        self.language = language
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """One text, its placeholders filled in.

        Args:
            key: The text's key.
            values: One value per placeholder.
        """
        return self._texts[key].format(**values)

    def known(self, key: str) -> bool:
        """Whether there is such a text, for codes that come from elsewhere."""
        return key in self._texts

    def pick(self, texts: Mapping[str, str]) -> str:
        """The sentence of a language map in this language, or in whatever language it has."""
        return texts.get(self.language) or next(iter(texts.values()), "")


TRANSLATORS: Final = {language: Translator(language, read_texts(language)) for language in LANGUAGES}
"""One translator per language."""
