"""Three classifiers and a judge read 1,497 handwritten digits; each is an actor in a Ray worker.

Data: scikit-learn's `load_digits`, 300 images to learn from, the rest to answer. The judge sees the members' answers
and takes the one that a logistic regression finds most likely.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

import embertrace as et
import embertrace.ray as eray

TRAIN_SIZE = 300
"""Few enough that the members err, and often not on the same digits."""
TEST_SIZE = 1497
"""The rest of the 1,797 images."""


@et.trace(type="member", stage="members")
class Member:
    """A classifier that answers with a digit."""

    def __init__(self, name: str, classifier: Any) -> None:
        self.name = name
        self.classifier = classifier

    def __call__(self, image: Any) -> int:
        return int(self.classifier.predict([image])[0])


@et.trace(stage="judge_1", name="logistic-regression")
class Judge(et.Judge):
    """Takes the candidate that it finds most likely itself."""

    def __init__(self, classifier: Any) -> None:
        self.classifier = classifier

    def __call__(self, image: Any, *candidates: int) -> int:
        likelihood = self.classifier.predict_proba([image])[0]
        return max(candidates, key=lambda candidate: float(likelihood[candidate]))


def read_digits(limit: int | None = None) -> Iterator[int]:
    """Answer the test images one by one, as items; yields how many are done. Needs a running Ray."""
    images, digits = load_digits(return_X_y=True)
    learn, answer, learned, truths = train_test_split(
        images, digits, train_size=TRAIN_SIZE, random_state=0, stratify=digits
    )
    classifiers = {
        "naive-bayes": GaussianNB(),
        "decision-tree": DecisionTreeClassifier(random_state=0),
        "nearest-neighbours": KNeighborsClassifier(3),
    }
    member = eray.remote(num_cpus=0.5)(Member)
    members = [member.remote(name, model.fit(learn, learned)) for name, model in classifiers.items()]
    judge = eray.remote(num_cpus=0.5)(Judge).remote(LogisticRegression(max_iter=5000).fit(learn, learned))
    for number, (image, truth) in enumerate(zip(answer[:limit], truths[:limit], strict=True)):
        with et.item(number, truth=int(truth)):
            pipeline(members, judge, image)
        yield number + 1


@et.trace(type="pipeline", name="digits", capture="answers")
def pipeline(members: list[Any], judge: Any, image: Any) -> int:
    """The members answer side by side, then the judge chooses."""
    with et.operator("panel", type="ensemble", stage="ensemble_1") as panel:
        answers = ray.get([member.__call__.remote(image) for member in members])
        panel.result(answers)
    return int(ray.get(judge.__call__.remote(image, *answers)))
