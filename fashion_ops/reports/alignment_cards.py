"""The model card and the data card of an alignment version, and the short text for the registry.

As ``cards`` does for the landmark pipeline: what a reader needs before using DFA or GLE with its
detector, as far as it is known. What is not known is said. No time, host or local path.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from fashion_ops.reports.alignment_card_facts import AlignmentCardFacts
from fashion_ops.reports.card_facts import DataFacts
from fashion_ops.reports.cards import MODEL_CARD, restoring, sources_table
from fashion_ops.reports.markdown import code, number, share, table, text
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES

_METHODS = {
    "dfa": "DFA (Liu et al., ECCV 2016): a cascade of regressions with visibility",
    "gle": "GLE (Lee et al., 2019): heatmaps of a network with global-local modules",
}
_FEW = 20  # evaluated garments of a clothes type below which its NE says little
_UNKNOWN_DETECTOR = "The detector's catalog was not at hand when the version was registered."


def alignment_model_card(facts: AlignmentCardFacts) -> str:
    """The model card: purpose, NE by clothes type and landmark, limits, parameters, origin."""
    parts = [
        f"# Model card: {text(facts.model)}",
        "Finds garments of 13 categories in photos (box, category, score) and the landmarks of "
        "Fashion Landmark Detection on each: 6 of upper-body clothes, 4 of lower-body clothes, 8 of "
        "full-body clothes, in pixels. The networks know nothing of the people who wear the clothes "
        "and must not be used to tell persons apart.",
        f"Method: {text(_METHODS[facts.method])}.",
        "## Metrics",
        "NE is the distance to the label over the longer side of the labelled box: the mean of each "
        f"landmark where it is visible, of the split {text(facts.split)}, and the mean of these; lower "
        "is better. The boxes are labelled ones: how good the detector is, is not part of it.",
        _overall(facts.metrics),
        "## Metrics by clothes type",
        _by_type(facts.metrics),
        "## Metrics by landmark",
        table(
            ("landmark", "NE"),
            [(k, number(v, 4)) for k, v in facts.metrics.get("by_landmark", {}).items()],
        ),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(facts)),
        "## Networks",
        table(
            ("part", "method", "backbone", "networks", "MB"),
            [(p.name, p.method, p.backbone, p.count, f"{p.megabytes:.1f}") for p in facts.parts],
            texts=3,
        ),
        "## Data",
        sources_table([facts.data.source, *(facts.boxes.sources if facts.boxes else ())]),
        "## Parameters",
        code(yaml.safe_dump(dict(facts.params), sort_keys=False, allow_unicode=True)),
        "## Origin, and how to restore",
        table(("fact", "value"), list(facts.origin.items()), texts=2),
        restoring(facts.origin, f"--model {facts.model}"),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def alignment_data_card(facts: AlignmentCardFacts) -> str:
    """The data card: the garments with landmarks, what was refused, and the detector's photos."""
    data = facts.data
    parts = [
        f"# Data card: {text(facts.model)}",
        "The photos and labels that the landmarks were trained and evaluated on, and in short those of "
        "the detector.",
        "## Sources and licences",
        sources_table([data.source]),
        "## Splits",
        table(
            ("split", "garments", "labelled landmarks"),
            [(split, *map(number, counts)) for split, counts in data.splits.items()],
        ),
        "## Clothes types",
        table(
            ("type", "training", "others", "visible", "occluded", "not labelled"),
            [
                (name, number(train), number(rest), *(share(s, 1) for s in shares))
                for name, (train, rest, *shares) in data.types.items()
            ],
        ),
        "## Refused records",
        table(("reason", "records"), [(r, number(n)) for r, n in data.refused.items()])
        if data.refused
        else "None.",
        "## The detector's photos",
        *_boxes(facts.boxes),
        "## Limits",
        "\n".join(f"- {line}" for line in _data_limits(facts)),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def alignment_description(facts: AlignmentCardFacts, version: int) -> str:
    """The text of a version in the registry: the numbers in short, and where the cards are."""
    metrics = facts.metrics
    lines = [
        f"{text(facts.model)} {version}, {facts.method.upper()}: NE {number(metrics.get('NE'), 4)} on "
        f"the split {text(facts.split)} of {text(facts.data.source.name)}, beside "
        f"{number(metrics.get('NE mean shape of type'), 4)} of the mean shapes.",
        _by_type(metrics),
        f"Artifacts of the run: {text(MODEL_CARD)}, data\\_card.md.",
        f"`fashion-ops restore {version} --model {facts.model} --verify` rebuilds it.",
    ]
    return "\n\n".join(lines)


def _overall(metrics: Mapping[str, Any]) -> str:
    names = {
        "NE": "this model",
        "NE mean shape of type": "mean shape of each clothes type",
        "NE mean shape": "mean shape of all",
    }
    rows = [(words, number(metrics.get(name), 4)) for name, words in names.items()]
    return table(("landmarks", "NE"), rows)


def _by_type(metrics: Mapping[str, Any]) -> str:
    rows = [
        (name, number(int(row["garments"])), number(row["NE"], 4))
        for name, row in metrics.get("by_type", {}).items()
    ]
    return table(("clothes type", "evaluated on", "NE"), rows)


def _limits(facts: AlignmentCardFacts) -> Iterator[str]:
    if facts.data.source.is_synthetic:
        yield "All training data are drawn. Nothing here says how good the networks are on real photos."
    rows = facts.metrics.get("by_type", {})
    if missing := [name for name in CLOTHES_TYPES if name not in rows]:
        yield f"Not evaluated on any garment of: {text(', '.join(missing))}."
    if few := [name for name, row in rows.items() if row["garments"] < _FEW]:
        names = text(", ".join(few))
        yield f"Evaluated on fewer than {_FEW} garments, so that NE says little: {names}."
    if facts.method == "gle":
        yield "The height of a peak is the score of a landmark; whether it is visible is not predicted."
    else:
        yield "Each landmark is said to be visible, occluded or cut off; no score is calibrated."
    yield "The clothes type is that of the detector's category; if it is wrong, so are the landmarks."


def _boxes(data: DataFacts | None) -> Iterator[str]:
    if data is None:
        yield _UNKNOWN_DETECTOR
        return
    yield sources_table(data.sources)
    yield table(
        ("split", "photos", "without garments", "garments", "labelled landmarks"),
        [(split, *map(number, counts)) for split, counts in data.splits.items()],
    )


def _data_limits(facts: AlignmentCardFacts) -> Iterator[str]:
    sources = [facts.data.source, *(facts.boxes.sources if facts.boxes else ())]
    if any(not source.licence for source in sources):
        yield "Of some data the licence is not recorded: ask before you pass the models on."
    rare = [name for name, (train, *_) in facts.data.types.items() if train < _FEW]
    if rare:
        yield f"Fewer than {_FEW} training garments: {text(', '.join(rare))}."
    yield "Who is in the photos, where they were taken and who labelled them is not recorded."
