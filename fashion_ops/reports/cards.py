"""The model card and the data card of a version as Markdown, and the short text for the registry.

After Mitchell et al., Model Cards for Model Reporting (FAT* 2019), and Gebru et al., Datasheets for
Datasets (2018): what a reader needs before using the models, as far as it is known. What is not known
is said. The cards hold no time, host or local path.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from fashion_ops.reports.card_facts import CardFacts, DataSource
from fashion_ops.reports.markdown import code, number, share, table, text
from fashion_ops.taxonomy import category

MODEL_CARD, DATA_CARD = "model_card.md", "data_card.md"
VARIANTS = ("universal", "finetuned", "refined")
_UNKNOWN_LICENCE = "not recorded; a file LICENSE beside the data is quoted here"
_METHODS = {
    "mean_shape": "mean shape",
    "detector": "detector alone",
    "universal": "universal landmarker",
    "finetuned": "finetuned landmarkers",
    "refined": "refined, which predict uses",
}
_FEW = 20  # evaluated garments of a category below which its AP says little


def model_card(facts: CardFacts) -> str:
    """The model card: purpose, parts, metrics by category and subset, limits, parameters, origin."""
    parts = [
        f"# Model card: {text(facts.model)}",
        "Finds garments of 13 categories in photos (box, category, score) and the landmarks of each: 8 "
        "to 39, by category, in pixels, with a score. Made for catalogs, search and measuring of "
        "clothes; the networks know nothing of the people who wear them and must not be used to tell "
        "persons apart.",
        _overall(facts),
        "## Metrics by category",
        f"AP is the official OKS-AP with ground-truth boxes on the split {text(facts.split)}; box AP "
        "is that of the detector.",
        _categories(facts.metrics),
        *_subsets(facts),
        *_also(facts),
        *_reliability(facts),
        "## Sizes in centimetres",
        "Errors of measured sizes are not recorded with a version.",
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(facts)),
        "## Networks",
        table(
            ("part", "method", "backbone", "networks", "MB"),
            [(p.name, p.method, p.backbone, p.count, f"{p.megabytes:.1f}") for p in facts.parts],
            texts=3,
        ),
        "## Data",
        sources_table(facts.data.sources),
        f"The data card ({text(DATA_CARD)}) has the counts.",
        "## Parameters",
        code(yaml.safe_dump(dict(facts.params), sort_keys=False, allow_unicode=True)),
        "## Origin, and how to restore",
        table(("fact", "value"), list(facts.origin.items()), texts=2),
        restoring(facts.origin),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def data_card(facts: CardFacts) -> str:
    """The data card: sources with licences, splits, categories, grades, what was refused."""
    data = facts.data
    parts = [
        f"# Data card: {text(facts.model)}",
        "The photos and labels that the networks were trained and evaluated on.",
        "## Sources and licences",
        sources_table(facts.data.sources),
        "## Splits",
        table(
            ("split", "photos", "without garments", "garments", "labelled landmarks"),
            [(split, *map(number, counts)) for split, counts in data.splits.items()],
        ),
        "## Categories",
        table(
            ("category", "training", "others", "visible", "hidden", "not labelled"),
            [
                (category(name).label, number(train), number(rest), *(share(s, 1) for s in shares))
                for name, (train, rest, *shares) in data.categories.items()
            ],
        ),
        "## Conditions",
        table(
            ("grade", "value", "garments"),
            [(g, v, number(n)) for g, rows in data.grades.items() for v, n in rows],
            texts=2,
        ),
        "## Refused records",
        table(("reason", "records"), [(r, number(n)) for r, n in data.refused.items()])
        if data.refused
        else "None.",
        "## Limits",
        "\n".join(f"- {line}" for line in _data_limits(facts)),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def description(facts: CardFacts, version: int) -> str:
    """The text of a version in the registry: the numbers in short, and where the cards are."""
    names = [s.name for s in facts.data.sources] or ["data not recorded"]
    metrics = facts.metrics
    lines = [
        f"{text(facts.model)} {version}: AP {number(_refined(metrics, 'landmark_ap'))} with "
        f"ground-truth boxes, {number(_refined(metrics, 'landmark_ap_own_boxes'))} with its own, "
        f"box AP {number(metrics.get('box_ap'))}, on the split {text(facts.split)}.",
        f"Trained on {text(', '.join(names[:5]))}{' and others' if names[5:] else ''}.",
        _categories(metrics, ("refined",)),
        f"Artifacts of the run: {text(MODEL_CARD)}, {text(DATA_CARD)}.",
        f"`fashion-ops restore {version} --verify` rebuilds it.",
    ]
    return "\n\n".join(lines)


def _refined(metrics: Mapping[str, Any], key: str) -> float | None:
    """AP of the refined landmarks, if it is known."""
    return metrics.get(key, {}).get("refined")


def _overall(facts: CardFacts) -> str:
    truth = facts.metrics.get("landmark_ap", {})
    own = facts.metrics.get("landmark_ap_own_boxes", {})
    names = [name for name in _METHODS if name in truth or name in own]
    rows = [(_METHODS[n], number(truth.get(n)), number(own.get(n))) for n in names]
    rows.append(("boxes of the detector (box AP)", "", number(facts.metrics.get("box_ap"))))
    return "## Metrics\n\n" + table(("landmarks", "AP, ground-truth boxes", "AP, own boxes"), rows)


def _categories(metrics: Mapping[str, Any], variants: tuple[str, ...] = VARIANTS) -> str:
    rows = []
    for name, row in metrics.get("per_category", {}).items():
        aps = (number(row["landmark_ap"].get(variant)) for variant in variants)
        counts = (number(row["train"]), number(row["validation"]))
        rows.append((category(name).label, *counts, number(row["box_ap"]), *aps))
    columns = ("category", "trained on", "evaluated on", "box AP", *(f"AP {v}" for v in variants))
    return table(columns, rows)


def _subsets(facts: CardFacts) -> Iterator[str]:
    if facts.subsets:
        yield "## Metrics by subset"
        yield "AP of the refined landmarks with ground-truth boxes, of the garments of each kind alone."
        rows = [(g, v, number(n), number(ap)) for g, v, n, ap in facts.subsets]
        yield table(("grade", "value", "garments", "AP"), rows, texts=2)


def _also(facts: CardFacts) -> Iterator[str]:
    if facts.also:
        yield "## Further data"
        rows = [
            (name, number(_refined(m, "landmark_ap")), number(m.get("box_ap")))
            for name, m in facts.also.items()
        ]
        yield table(("catalog", "AP refined, ground-truth boxes", "box AP"), rows)


def _reliability(facts: CardFacts) -> Iterator[str]:
    yield "## Calibration of scores"
    rows = [
        (_METHODS.get(name, name), number(r.get("error")), number(r.get("temperature")))
        for name, r in facts.reliability.items()
        if isinstance(r, Mapping)
    ]
    if not rows:
        yield "Not measured: a score orders predictions and is no probability."
        return
    yield table(("landmarks", "calibration error", "temperature"), rows)


def _limits(facts: CardFacts) -> Iterator[str]:
    synthetic = [source for source in facts.data.sources if source.is_synthetic]
    if synthetic and len(synthetic) == len(facts.data.sources):
        yield "All training data are drawn. Nothing here says how good the networks are on real photos."
    for key, what in (("training", "trained"), ("validation", "evaluated")):
        if missing := facts.metrics.get(f"categories_without_{key}"):
            yield f"Not {what} on any garment of: {text(', '.join(missing))}."
    rows = facts.metrics.get("per_category", {}).items()
    few = [name for name, row in rows if 0 < row["validation"] < _FEW]
    if few:
        names = text(", ".join(few))
        yield f"Evaluated on fewer than {_FEW} garments, so that AP says little: {names}."
    known = [(row["landmark_ap"].get("refined", -1), name) for name, row in rows]
    known = sorted(pair for pair in known if pair[0] >= 0)
    if known:
        worst = ", ".join(f"{name} {ap:.3f}" for ap, name in known[:3])
        yield f"Lowest AP: {text(worst)}."
    tuned = facts.params.get("tune_postprocess", {})
    if tuned.get("split") == facts.split:
        yield (
            f"Post-processing and the threshold of scores were chosen on up to {tuned['images']} of "
            "the images that are evaluated: AP in own boxes is that of images which they have seen."
        )
    yield "Every landmark of a category is predicted, also one that is hidden or outside of the photo."
    yield "Garments of other kinds are missed or taken for one of the 13 categories."


def _data_limits(facts: CardFacts) -> Iterator[str]:
    if not facts.data.sources:
        yield "The catalog was not at hand when the version was registered."
    if any(not source.licence for source in facts.data.sources):
        yield "Of some data the licence is not recorded: ask before you pass the models on."
    rare = [n for n, (train, *_) in facts.data.categories.items() if train < _FEW]
    if rare:
        yield f"Fewer than {_FEW} training garments: {text(', '.join(rare))}."
    yield "Who is in the photos, where they were taken and who labelled them is not recorded."


def sources_table(sources: Iterable[DataSource]) -> str:
    """The data sets with their licences, as far as these are known."""
    rows = [(s.name, s.licence or _UNKNOWN_LICENCE, number(s.images)) for s in sources]
    return table(("data", "licence", "photos"), rows, texts=2) if rows else "Not recorded."


def restoring(origin: Mapping[str, str], options: str = "") -> str:
    """How a version is restored.

    Args:
        origin: the facts of where it comes from; without a snapshot it cannot be restored.
        options: of the command, for a model that has no evaluation report; empty for the pipeline.
    """
    if "snapshot" not in origin:
        return "Registered outside of git: this version cannot be restored."
    command = " ".join(["fashion-ops restore VERSION", *filter(None, [options]), "--verify"])
    again = "" if options else " and evaluates them again"
    return (
        f"`{command}` checks out code, parameters and data, compares the models with the registered "
        f"ones{again}."
    )
