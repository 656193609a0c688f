"""DFA's tables and figures, from predictions that are known: truth, moved by so much."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fashion_ops.methods.alignment.crops import frame_of
from fashion_ops.methods.alignment.data import Shapes, Split
from fashion_ops.methods.alignment.idpr.inference import max_sum
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.params import DfaStage, Params
from fashion_ops.taxonomy.alignment import point_set
from fashion_ops.workspace import Workspace
from papers.alignment import MEAN, MEAN_OF_TYPE
from papers.config import TableConfig
from papers.dfa import figure5, figure6, paper, runs, stages, table2, table3, table4
from papers.dfa.runs import DIRECT, ROWS, STAGE_1, STAGE_2, STAGE_3, Runs, tree_links
from papers.write import add_legend, write_table

SHIFTS = {
    MEAN: 0.2,
    MEAN_OF_TYPE: 0.15,
    "IDPR": 0.1,
    "DeepPose (stage 1)": 0.08,
    "DeepPose (stage 3)": 0.05,
}
SHIFTS |= {row: 0.09 - 0.005 * k for k, row in enumerate(ROWS)}


class Known(Runs):
    """Runs whose predictions are the truth, moved to the right."""

    def positions(self, name):
        return self.test.shapes.positions + np.array([SHIFTS.get(name, 0.3), 0.0])

    def row(self, name, link=False):
        found = np.eye(3)[np.zeros(self.test.rows.visibility.shape, int)]  # all are called visible
        return None, {"test": SimpleNamespace(branch=np.array([0, 1, 1, 1, 0]), visibility=found)}


def split_of(points, box):
    rng = np.random.default_rng(0)
    n = points.num_points
    xy = rng.uniform(10, 90, (5, n, 2))
    visibility = np.full((5, n), 2)
    visibility[0, 0] = 1
    boxes = np.tile(np.array(box, float), (5, 1))
    rows = SimpleNamespace(
        box=boxes,
        xy=xy,
        visibility=visibility,
        clothes_type=np.array([1, 2, 3, 3, 3]),
        state=2 - visibility,
        present=np.ones((5, n), bool),
        subset=lambda name: np.arange(5) < 3,
    )
    shapes = Shapes(frame_of("letterbox", boxes).apply(xy), visibility, np.ones((5, n), bool))
    return Split(rows, points, SimpleNamespace(frame="letterbox", windows=boxes), shapes)


@pytest.fixture
def config(monkeypatch, tmp_path):
    """A config whose runs are known."""

    def opened(config, source, shared=True):
        known = Known(tmp_path, DfaStage(), SimpleNamespace(folder=tmp_path), 0, CPU, TrainerOptions())
        points = point_set("lsp14" if source == "lsp" else "fld8")
        known.__dict__ |= {
            "test": split_of(points, (0, 0, 50, 100)),
            "train": split_of(points, (0, 0, 50, 100)),
        }
        other = copy.copy(known)
        other.seed = 1
        return [known, other]

    for module in (table2, table3, table4, stages, figure5, figure6):
        monkeypatch.setattr(module, "open_runs", opened)
        monkeypatch.setattr(module, "identify", lambda catalog: ("known images", False))
    return TableConfig(Params(), Workspace(tmp_path), seeds=(0, 1))


def test_table_2_is_the_distance_over_the_longer_side(config, tmp_path):
    table = table2.run(config)
    for name, shift in {n: SHIFTS[n] for n in (MEAN, MEAN_OF_TYPE, *ROWS)}.items():
        np.testing.assert_allclose(table.rows.loc[name, list(table2.COLUMNS)].astype(float), shift)
        stretched = 2 * shift  # a shift along x, in boxes twice as high as wide
        assert table.rows.loc[name, table2.STRETCHED] == pytest.approx(stretched)
    assert table.rows["s.d. of average"].max() == 0
    beside = dict(table.beside(table.column("average")))
    assert next(iter(beside.values())).values[STAGE_3] == 0.068
    assert any(f"`{STAGE_2}` no worse than `{STAGE_1}` in 2 of 2 seeds" in n for n in table.notes)
    assert any("Hard branch: 60 %, 60 %" in note for note in table.notes)
    for path in write_table(table, tmp_path, "command"):
        assert path.stat().st_size > 500
    assert "paper's numbers are of FLD" in (tmp_path / "table2.md").read_text()


def test_table_2_makes_the_chosen_rows_only(config):
    table = table2.run(replace(config, rows=(STAGE_1, DIRECT)))
    assert list(table.rows.index) == [MEAN, MEAN_OF_TYPE, DIRECT, STAGE_1]
    assert any(f"`{STAGE_1}` no worse than `{DIRECT}`" in note for note in table.notes)
    assert not any(STAGE_2 in note and "no worse" in note for note in table.notes)
    with pytest.raises(ValueError, match=r"--rows: no row '4'; choose of 1 - visibility, "):
        table2.run(replace(config, rows=("4",)))


def test_table_3_and_figures_evaluate_subsets_and_types(config, tmp_path):
    table = table3.run(config)
    np.testing.assert_allclose(table.rows.loc[STAGE_1].astype(float), SHIFTS[STAGE_1])
    curves = figure5.run(config)
    # 0.05 of the side is 11.2 px of 224
    row = curves.rows.loc["upper body: DeepPose (stage 3)"]
    assert row.tolist() == [0, 0, *[100] * 8]
    assert len(curves.rows) == (8 + 3) * 6
    bars = figure6.run(config)
    assert bars.rows.loc["DeepPose (stage 3)"].tolist() == [100] * 5
    assert bars.rows.loc["IDPR"].tolist() == [0] * 5  # 22.4 px
    for module, made in ((figure5, curves), (figure6, bars)):
        module.draw(made, tmp_path / f"{made.name}.png")
        assert (tmp_path / f"{made.name}.png").stat().st_size > 5_000


def test_stages_count_the_seeds_in_which_each_is_better(config, monkeypatch):
    table = stages.run(config)
    assert table.rows["mean"].tolist() == pytest.approx(
        [SHIFTS[row] for row in (MEAN, MEAN_OF_TYPE, STAGE_1, STAGE_2, STAGE_3)]
    )
    assert "in 2 of 2 seeds" in table.notes[0]
    visible = table.rows.loc["stage 3"]
    assert visible["visibility accuracy"] == visible["always visible"] < 1
    assert table.rows.loc[MEAN, "visibility accuracy":].isna().all()
    monkeypatch.setitem(SHIFTS, STAGE_3, SHIFTS[STAGE_2])
    assert "in 0 of 2 seeds" in stages.run(config).notes[0]


def test_table_4_names_its_convention(config):
    table = table4.run(config)
    assert list(table.rows.index) == list(table4.METHODS)
    assert table.rows["mean"].between(0, 100).all()
    assert "strict PCP" in table.notes[0]
    assert paper.TABLE_4["IDPR + auto-routing"][-1] == 78.6


@pytest.mark.parametrize("inherit", [True, False])
def test_all_rows_have_equal_steps(inherit, tmp_path, monkeypatch):
    """Epochs along each row's chain: 9 in all where weights are inherited, else 9 for each network."""
    lengths: dict[str, list[int]] = {}

    class Chain(Runs):
        def _train(self, name, epochs, folder):
            after = ROWS[name].after
            before = self.chain(after, self.epochs(ROWS[after].stage, link=True)) if after else []
            if after:
                self.row(after, link=True)
            lengths[folder.name] = [*before, epochs]
            folder.mkdir(parents=True)

        def chain(self, name, epochs):
            return lengths.get(f"{runs._slug(name)}-{epochs}", [])

    monkeypatch.setattr(runs.TrainedStage, "load", lambda folder, device: None)
    monkeypatch.setattr(runs, "read_estimates", lambda path: {})
    made = Chain(tmp_path, DfaStage(epochs=9, inherit=inherit), None, 0, CPU, TrainerOptions())
    for link in (STAGE_1, STAGE_2):
        made.row(link, link=True)
    for name in ROWS:
        made.row(name)
        epochs = made.epochs(ROWS[name].stage)
        chain = made.chain(name, epochs)
        assert len(chain) == ROWS[name].stage
        assert sum(chain) == 9 if inherit else chain == [9] * len(chain), name
    alone = replace(made, shared=False)  # table ``stages``
    assert [alone.epochs(stage, link) for stage in (1, 2, 3) for link in (False, True)] == [9] * 6


def test_deeppose_and_idpr_have_as_many(tmp_path, monkeypatch):
    """DeepPose's three stages share the epochs of a row, as DFA's do; IDPR's networks likewise."""
    seen: list[tuple[str, int]] = []
    none = SimpleNamespace(positions=np.zeros((1, 1, 2)))
    model = SimpleNamespace(predict=lambda *_: none)

    def record(name):
        return lambda config, *_: seen.append((name, config.epochs)) or model

    monkeypatch.setattr(runs, "train_deeppose", record("DeepPose"))
    monkeypatch.setattr(runs, "train_idpr", record("IDPR"))
    monkeypatch.setattr(runs, "add_routing", record("routed"))
    monkeypatch.setattr(runs, "tree_links", lambda kind: [])
    shapes = SimpleNamespace(slots=None)
    split = SimpleNamespace(data=None, crops=None, shapes=shapes)

    class Faked(Runs):
        def row(self, name, link=False):
            seen.append((name, self.epochs(ROWS[name].stage, link)))
            return None, {}

    made = Faked(tmp_path, DfaStage(epochs=9), None, 0, CPU, TrainerOptions())
    made.__dict__ |= {"train": split, "test": split, "kind": "person"}
    made._deeppose()
    assert seen == [("1 direct regression", 3), ("DeepPose", 3)]  # 3 in each of its stages
    seen.clear()
    made._idpr()
    assert sorted(seen) == [("IDPR", 4), ("IDPR", 9), ("IDPR", 9), ("routed", 5)]


def test_the_trees_are_trees():
    import torch

    for kind in ("all", "person"):
        for slots, links in tree_links(kind):
            nodes = np.flatnonzero(slots)
            index = {int(n): k for k, n in enumerate(nodes)}
            pairs = [(index[a], index[b]) for a, b in links]
            unary = torch.zeros(1, len(nodes), 2)
            assert max_sum(unary, pairs, lambda _: torch.zeros(1, 2, 2)).shape == (1, len(nodes))


def test_no_catalog_says_what_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="fashion-ops ingest_alignment"):
        runs.open_runs(TableConfig(Params(), Workspace(tmp_path)), "fld")


def test_a_legend_that_is_wider_than_its_picture_takes_more_lines() -> None:
    figure = Figure(figsize=(4, 3), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    handles = [panel.plot([0, 1])[0] for _ in range(6)]
    add_legend(figure, handles, [f"DeepPose (stage {n})" for n in range(6)])
    [legend] = figure.legends
    assert 0 < legend.get_window_extent().width <= figure.bbox.width
    assert 1 < legend._ncols < 6
