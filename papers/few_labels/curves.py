"""The picture of ``few_labels``: AP and OKS over the number of labelled photos, a curve an arm."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

AP, OKS, LOW, HIGH = "AP", "OKS", "OKS, low", "OKS, high"
_STARTED, _FRESH, _INK = "#2b6cb0", "#c05621", "#4a5568"


def draw_curves(curves: Mapping[str, pd.DataFrame], mean_shape: pd.Series, path: Path) -> None:
    """Draw two panels, AP and OKS; bars at the curves of OKS are its intervals.

    Args:
        curves: by label, the rows indexed by the number of labelled photos.
        mean_shape: the row of the mean shape, which has no labels.
        path: PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for panel, name in zip(panels, (AP, OKS), strict=True):
        for place, (label, rows) in enumerate(curves.items()):
            style = {
                "color": _FRESH if label.startswith("fresh") else _STARTED,
                "linestyle": "--" if label.endswith("+ wardrobe") else "-",
                "marker": "o",
                "markersize": 4,
                "label": label,
            }
            x, y = rows.index.to_numpy(float), rows[name].to_numpy(float)
            if name == OKS:
                ends = [y - rows[LOW].to_numpy(float), rows[HIGH].to_numpy(float) - y]
                shifted = x + 0.35 * (place - (len(curves) - 1) / 2)  # so that bars stand side by side
                panel.errorbar(shifted, y, yerr=ends, elinewidth=0.8, capsize=2, **style)
            else:
                panel.plot(x, y, **style)
        panel.axhline(float(mean_shape[name]), color=_INK, linestyle=":", lw=1, label="mean shape")
        panel.set_xticks(sorted({n for rows in curves.values() for n in rows.index}))
        panel.set_ylim(bottom=0)
        panel.set_xlabel("labelled photos")
        title = "AP" if name == AP else "mean OKS, with 95 % intervals over photos"
        panel.set_title(title, fontsize=10, loc="left")
        panel.grid(axis="y", color="#e2e8f0", lw=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=8.5)
    figure.savefig(path, dpi=110, metadata={"Software": None})
