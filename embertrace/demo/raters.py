"""Ten people rated words from −4 to 4; the first three and all ten vote on the sign, a dictionary says what is right.

Data: the raw ratings of 7,506 tokens in the vaderSentiment package, and AFINN-111 in the afinn package, on the words
that both have. The judge takes the most frequent answer, of several the one given first.
"""

from __future__ import annotations

import ast
import importlib.util
from collections import Counter
from collections.abc import Iterator
from importlib import resources

import embertrace as et

PANELS = (3, 10)
"""How many of the raters vote: the first three, then all."""


class Rater(et.Operator):
    """One person, who answers as recorded."""

    def __init__(self, number: int, ratings: dict[str, list[int]]) -> None:
        self.name = f"rater-{number + 1}"
        self.number = number
        self.ratings = ratings

    def __call__(self, word: str) -> int:
        return _sign(self.ratings[word][self.number])


class Plurality(et.Judge):
    """The most frequent answer; of several, the one given first."""

    def __call__(self, word: str, answers: list[int]) -> int:
        return Counter(answers).most_common(1)[0][0]


def available() -> bool:
    """Whether both packages are installed (afinn is GPL, so it is never required)."""
    return all(importlib.util.find_spec(name) is not None for name in ("vaderSentiment", "afinn"))


def rate_words(limit: int | None = None) -> Iterator[int]:
    """Let both panels answer every word, as items; yields how many are done."""
    ratings, truths = _ratings(), _truths()
    words = [word for word in ratings if word in truths][:limit]
    done = 0
    for size in PANELS:
        members = [et.trace(type="member", stage=f"raters_{size}")(Rater(n, ratings)) for n in range(size)]
        panel = et.trace(stage=f"panel_{size}", name=f"panel-of-{size}")(et.Ensemble(members))
        judge = et.trace(stage=f"plurality_{size}", name=f"plurality-of-{size}")(Plurality())
        for word in words:
            with et.item(word, truth=truths[word], epoch=size), et.operator("vote", type="pipeline"):
                judge(word, panel(word))
            done += 1
            yield done


def count_words() -> int:
    """How many items `rate_words` goes through."""
    return len(PANELS) * len(_ratings().keys() & _truths().keys())


def _ratings() -> dict[str, list[int]]:
    lines = _text("vaderSentiment", "vader_lexicon.txt").splitlines()
    fields = [line.split("\t") for line in lines]
    return {parts[0]: ast.literal_eval(parts[3]) for parts in fields if len(parts) == 4}


def _truths() -> dict[str, int]:
    lines = _text("afinn", "data/AFINN-111.txt").splitlines()
    return {word: _sign(int(score)) for word, _, score in (line.rpartition("\t") for line in lines)}


def _text(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _sign(rating: int) -> int:
    return (rating > 0) - (rating < 0)
