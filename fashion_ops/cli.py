"""The command line: one command a step, and what one does with models and results.

A step run by hand is recorded in ``dvc.lock`` as Dagster would record it; under ``dvc repro`` it is
DVC itself that records, so the command only runs. Heavy imports wait until a command needs them.
"""

import importlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from fashion_ops.ablations.command import app as ablate
from fashion_ops.fleet_command import app as fleet
from fashion_ops.gle_command import app as gle
from fashion_ops.params import Params, load_params
from fashion_ops.stages import DFA_STAGES, PARTITIONS, REGISTRY, STEPS
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace, find_root

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
app.add_typer(ablate, name="ablate")
app.add_typer(fleet, name="fleet")
app.add_typer(gle, name="gle")
console = Console(stderr=True)
CHAMPION = "models:/garment-landmarks@champion"
HELP = {
    "synthesize": "Draw the synthetic wardrobe, in DeepFashion2's layout.",
    "ingest": "Read labelled photos into the catalog; bad records go to quarantine.",
    "aggregate": "Apply the landmark grouping to the catalog.",
    "pseudo_label": "Cluster landmark configurations into pseudo-labels.",
    "drift": "Compare the newest batch with the training data before it.",
    "train_detector": "Train the CenterNet detector.",
    "tune_postprocess": "Search the parameters of the detector's post-processing.",
    "train_box_detector": "Train Cascade R-CNN or Hybrid Task Cascade, where one is asked for.",
    "train_landmarker": "Train the universal landmarker.",
    "finetune": "Finetune the landmarker, one model a category.",
    "refine": "Train PoseFix on the finetuned landmarkers, one model a category.",
    "synthesize_alignment": "Draw the wardrobe in the formats of FLD, DeepFashion and LSP.",
    "dfa_stage": "Train DFA's cascade on the alignment catalog, a stage at a time.",
    "ingest_alignment": "Read FLD, DeepFashion's other benchmarks and LSP into their catalogs.",
    "evaluate": "Judge all models on the validation split and write the report.",
    "register": "Put the models into the registry as challenger.",
}


def _complain(error: Exception) -> None:
    console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)


def _module(step: str) -> Any:
    return importlib.import_module(f"fashion_ops.stages.{step}")


def _run_and_record(stage: str, act: Any) -> dict[str, Any]:
    """Run one stage; unless DVC runs us, record it in ``dvc.lock``."""
    if os.environ.get("DVC_STAGE"):
        return act()
    from fashion_ops.ledger import Ledger

    ledger = Ledger(Path())
    snapshot = ledger.before(stage)
    metrics = act()
    ledger.commit(stage, snapshot)
    return metrics


def _print(stage: str, metrics: dict[str, Any]) -> None:
    values = ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in metrics.items()
    )
    console.print(f"[bold]{stage}[/bold]: {values}", highlight=False)


def _params() -> tuple[Params, Workspace]:
    ws = Workspace()
    try:
        return load_params(ws.params), ws
    except ValueError as error:
        _complain(error)
        raise typer.Exit(2) from error


def _add_step(step: str) -> None:
    def command() -> None:
        params, ws = _params()
        run = _module(step).run
        if step in REGISTRY:
            metrics = run(params, ws)
        else:
            metrics = _run_and_record(step, lambda: run(params, ws))
        _print(step, metrics)

    app.command(step, help=HELP[step])(command)


def _add_partitioned_step(step: str) -> None:
    def command(
        category: Annotated[
            list[str] | None,
            typer.Option(
                help="Only this one, in this process; may be repeated. Default: all 13, by Ray."
            ),
        ] = None,
        force: Annotated[bool, typer.Option(help="Of all 13, also what is current.")] = False,
    ) -> None:
        params, ws = _params()
        unknown = sorted(set(category or ()) - set(CATEGORY_NAMES))
        if unknown:
            raise typer.BadParameter(f"unknown {unknown}; known: {', '.join(CATEGORY_NAMES)}")
        if category:
            for name in category:
                stage = f"{step}@{name}"
                _print(stage, _run_and_record(stage, lambda n=name: _module(step).run(params, ws, n)))
            return
        from fashion_ops.stages.fan import run_all, unfinished

        names = list(CATEGORY_NAMES) if force else unfinished(step, ws)
        if not names:
            console.print(f"[bold]{step}[/bold]: current", highlight=False)
            return
        run_all(step, params, ws, names, lambda name, metrics, *_: _print(f"{step}@{name}", metrics))

    app.command(step, help=HELP[step])(command)


def _add_chain(step: str) -> None:
    def command(
        stage: Annotated[
            Literal["1", "2", "3"] | None,
            typer.Option(help="Only this one. Default: those not current."),
        ] = None,
        force: Annotated[bool, typer.Option(help="Of all three, also what is current.")] = False,
    ) -> None:
        params, ws = _params()
        for key in (stage,) if stage else DFA_STAGES:
            name = f"{step}@{key}"
            if not (stage or force) and _is_current(name):
                console.print(f"[bold]{name}[/bold]: current", highlight=False)
                continue
            _print(name, _run_and_record(name, lambda k=key: _module(step).run(params, ws, k)))

    app.command(step, help=HELP[step])(command)


def _is_current(stage: str) -> bool:
    from fashion_ops.ledger import Ledger

    return Ledger(Path()).is_current(stage)


for _step in STEPS:
    if PARTITIONS.get(_step) == CATEGORY_NAMES:
        _add_partitioned_step(_step)
    elif _step in PARTITIONS:
        _add_chain(_step)
    elif _step != "promote":  # it has an option, below
        _add_step(_step)


@app.command()
def batches() -> None:
    """Take labelled batches from data/inbox into the training data, or to data/rejected."""
    from fashion_ops.inbox import take
    from fashion_ops.ledger import Ledger

    params, ws = _params()
    taken = take(params, ws, Ledger(ws.root))
    for name in taken.accepted:
        typer.echo(f"accepted {ws.batches / name}; `fashion-ops ingest` reads it")
    for name, why in taken.rejected.items():
        _complain(ValueError(f"rejected {ws.rejected / name}: {why}"))
    if taken.waiting:
        typer.echo(f"waiting: {taken.waiting}")


@app.command()
def predict(
    photos: Annotated[list[Path], typer.Argument(help="Photos, any size.")],
    out: Annotated[Path, typer.Option(help="Folder for PHOTO.json and PHOTO.png.")],
    model: Annotated[
        str,
        typer.Option(
            help="models:/NAME@ALIAS, a folder of models, or one of a detector or its export."
        ),
    ] = CHAMPION,
    min_score: Annotated[float, typer.Option(help="Leave out garments below this score.")] = 0.3,
    runtime: Annotated[
        Literal["torch", "onnx", "openvino"],
        typer.Option(help="The latter two run an exported folder."),
    ] = "torch",
) -> None:
    """Find garments in photos: categories, boxes and named landmarks, as JSON and drawn."""
    import cv2
    import numpy as np

    from fashion_ops.edge import load_predictor
    from fashion_ops.evaluation.draw import DrawnGarment, draw_garments
    from fashion_ops.predictor import read_photo
    from fashion_ops.taxonomy import category as find_category

    try:
        predictor = load_predictor(model, runtime)
    except (FileNotFoundError, ValueError) as error:
        _complain(error)
        raise typer.Exit(2) from error
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for photo in photos:
        try:
            garments = predictor.predict(photo, min_score)
            pixels = read_photo(photo)
        except ValueError as error:
            failed += 1
            _complain(error)
            continue
        (out / f"{photo.stem}.json").write_text(
            json.dumps({"photo": photo.name, "garments": [g.to_json() for g in garments]}, indent=1)
            + "\n"
        )
        drawn = draw_garments(
            pixels,
            [
                DrawnGarment(
                    find_category(g.category).id,
                    np.array(g.box),
                    np.array(list(g.landmarks.values())),
                    g.score,
                )
                for g in garments
            ],
        )
        cv2.imwrite(str(out / f"{photo.stem}.png"), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
        names = ", ".join(f"{g.category} {g.score:.2f}" for g in garments) or "no garment"
        typer.echo(f"{photo}: {names} -> {out / photo.stem}.png")
    if failed:
        raise typer.Exit(1)


@app.command()
def export(
    what: Annotated[Literal["detector"], typer.Argument(help="What to export.")],
    form: Annotated[Literal["onnx", "openvino"], typer.Option("--format")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="Default: exports/detector-FORMAT.")] = None,
    model: Annotated[Path, typer.Option(help="Folder of models, or a detector's own.")] = Path(
        "models"
    ),
    precision: Annotated[
        Literal["fp32", "bf16", "int8"] | None,
        typer.Option(help="Default: bf16 where the CPU has it for openvino, fp32 for onnx."),
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode/--maps", help="Whether the graph gives garments or maps.")
    ] = False,
    dynamic_batch: Annotated[
        bool, typer.Option("--dynamic-batch", help="Any number of pictures at once.")
    ] = False,
    calibration: Annotated[int, typer.Option(min=1, help="INT8: train pictures to calibrate on.")] = 64,
    pictures: Annotated[int, typer.Option(min=1, help="INT8: pictures to judge on.")] = 200,
) -> None:
    """Write a model for ONNX Runtime or OpenVINO, compared with torch; for INT8 also its AP."""
    from fashion_ops.stages import export_detector

    params, ws = _params()
    try:
        exported, cost = export_detector.run(
            params,
            ws,
            model,
            out or Path("exports") / f"{what}-{form}",
            form,
            precision or ("bf16" if form == "openvino" else "fp32"),
            decode,
            dynamic_batch,
            calibration,
            pictures,
        )
    except (FileNotFoundError, ValueError) as error:
        _complain(error)
        raise typer.Exit(2) from error
    typer.echo(export_detector.as_text(exported, cost))


@app.command()
def describe(
    method: Annotated[str, typer.Argument(help="detector | landmarker | refiner | dfa | deeppose")],
    backbone: Annotated[str | None, typer.Option(help="Default: of params.yaml.")] = None,
    grouping: Annotated[str | None, typer.Option(help="none | agg81 | semantic62")] = None,
    category: Annotated[str | None, typer.Option(help="Of a refiner.")] = None,
    size: Annotated[str | None, typer.Option(help="Pixels: 256, or WIDTHxHEIGHT.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Parameters, multiply-accumulates and output channels of a network, by part."""
    from fashion_ops.methods import describe as descriptions

    params, _ = _params()
    try:
        pixels = descriptions.parse_size(size) if size else None
        found = descriptions.describe(method, params, backbone, grouping, category, pixels)
    except ValueError as error:
        _complain(error)
        raise typer.Exit(2) from error
    typer.echo(json.dumps(found, indent=1) if as_json else descriptions.as_text(found))


@app.command()
def score(
    annotations: Annotated[
        Path,
        typer.Option(help="Ground truth: COCO form with 294 keypoints; else an alignment catalog."),
    ],
    predictions: Annotated[
        Path,
        typer.Option(
            help="COCO results with keypoints; else parquet: garment_id, landmarks (x, y, s)."
        ),
    ],
    metric: Annotated[
        Literal["ap", "ne", "pdl", "pcp"],
        typer.Option(help="Official AP; normalised error, detected landmarks; correct parts (LSP)."),
    ] = "ap",
    split: Annotated[str, typer.Option(help="NE, PDL, PCP: which garments.")] = "test",
    clothes_type: Annotated[
        Literal["upper", "lower", "full"] | None, typer.Option(help="NE, PDL: only these.")
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(help="NE, PDL: normal_, medium_, large_pose, medium_zoom_in, large_zoom_in."),
    ] = None,
    frame: Annotated[
        Literal["letterbox", "box"], typer.Option(help="NE, PDL: what lengths are divided by.")
    ] = "letterbox",
    pixels: Annotated[float, typer.Option(min=0, help="PDL: of a 224-pixel frame.")] = 15.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Official landmark AP of COCO results, or NE, PDL or PCP of predictions on alignment data."""
    try:
        if metric == "ap":
            scores, text = _official_ap(annotations, predictions)
        else:
            from fashion_ops.evaluation.alignment_scores import Wanted, as_text, score_catalog

            labels = f"{_params()[0].ingest_alignment.lsp_convention}-centric"
            wanted = Wanted(metric, split, clothes_type, subset, frame, pixels, labels)
            scores = score_catalog(annotations, predictions, wanted)
            text = as_text(scores)
    except ValueError as error:
        _complain(error)
        raise typer.Exit(2) from error
    typer.echo(json.dumps(scores, indent=1) if as_json else text)


def _official_ap(annotations: Path, predictions: Path) -> tuple[dict[str, Any], str]:
    from fashion_ops.evaluation.coco_files import score_files

    scores = score_files(annotations, predictions)
    lines = list(zip(scores["stats_order"], scores["stats"], strict=True))
    lines += [(CATEGORY_NAMES[int(n) - 1], v) for n, v in scores["per_category_AP"].items()]
    return scores, "\n".join(f"{name:24} {value:7.4f}" for name, value in lines)


@app.command("pseudo-label")
def pseudo_label_table(
    landmarks: Annotated[Path, typer.Argument(help="CSV: NAME_x, NAME_y and maybe NAME_vis.")],
    also: Annotated[
        list[Path] | None, typer.Option(help="Label this table too, by the same centres.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for centres and labels.")] = None,
    clusters: Annotated[int, typer.Option(min=1, help="K.")] = 20,
    temperature: Annotated[float, typer.Option(help="T, in a 224-pixel frame.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Of the k-means start.")] = 0,
) -> None:
    """DFA's clusters and soft labels from a table of FLD landmarks alone."""
    from fashion_ops.stages import label_table

    try:
        rows = label_table.run(landmarks, also or [], out, clusters, temperature, seed)
    except ValueError as error:
        _complain(error)
        raise typer.Exit(2) from error
    for row in rows:
        typer.echo(f"{row.pop('table')}: {row.pop('rows')} rows, {row.pop('complete')} complete")
        for name, value in row.items():
            label = name if name.startswith("nearest") else f"perplexity, {name}"
            typer.echo(f"  {label:28} {value:8.2f}")


@app.command()
def configure(
    recipes: Annotated[list[Path], typer.Argument(help="YAML files, as in configs/deepmark/.")],
) -> None:
    """Merge recipes into params.yaml, comments kept; print what changed."""
    from fashion_ops.configure import configure as merge

    try:
        changes = merge(Workspace().params, recipes)
    except ValueError as error:
        _complain(error)
        raise typer.Exit(2) from error
    for change in changes:
        typer.echo(f"{change.key}: {change.old} -> {change.new}")
    if not changes:
        typer.echo("nothing to change")


@app.command("check-cache")
def check_cache(
    root: Annotated[Path | None, typer.Option(help="The repository. Default: this one.")] = None,
) -> None:
    """Read all of DVC's cache; replace what is damaged from the workspace or the default remote."""
    from fashion_ops.ledger import Ledger

    ledger = Ledger(root or find_root())
    for stage, files in ledger.mend().items():
        typer.echo(f"{stage}: {', '.join(files)} damaged in the cache")
    lost = ledger.stale()
    for stage, why in lost.items():
        typer.echo(f"{stage}: {'; '.join(why)}")
    if lost:
        typer.echo("`dvc repro` makes these again")
        raise typer.Exit(1)


@app.command()
def promote(
    again: Annotated[
        bool, typer.Option("--again", help="Also a version that was rolled back.")
    ] = False,
) -> None:
    """Make the challenger champion if the gate holds; exit status 1 if it does not."""
    params, ws = _params()
    try:
        answer = _module("promote").run(params, ws, again=again)
    except (ValueError, FileNotFoundError) as error:
        _complain(error)
        raise typer.Exit(2) from error
    _print("promote", answer)
    if not answer["promoted"]:
        raise typer.Exit(1)


@app.command()
def rollback(
    why: Annotated[str, typer.Option(help="Kept with the version that is taken out of service.")],
) -> None:
    """Make the previous champion champion again; the present one can only come back by force."""
    from fashion_ops import registry
    from fashion_ops.promotion import moves

    params, ws = _params()
    client, name = registry.connect(ws.root), params.registration.model
    try:
        with moves.turn(client, name, f"rollback: {why}") as turn:
            event = turn.roll_back(why)
    except (ValueError, moves.Busy) as error:
        _complain(error)
        raise typer.Exit(2) from error
    typer.echo(f"{name}: champion is version {event.champion[1]}, was {event.champion[0]}")


@app.command()
def history(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Promotions, refusals and rollbacks, oldest first, and which version serves."""
    from dataclasses import asdict

    from fashion_ops import registry
    from fashion_ops.promotion import moves

    params, ws = _params()
    client, name = registry.connect(ws.root), params.registration.model
    events = moves.history(client, name)
    if as_json:
        typer.echo(json.dumps([asdict(event) for event in events], indent=1))
        return
    for event in events:
        half = "" if event.done else " (half done)"
        typer.echo(f"{event.time}  version {event.version}  {event.what}{half}: {event.why}")
    for alias in (registry.CHALLENGER, registry.CHAMPION, registry.PREVIOUS):
        version = registry.with_alias(client, name, alias)
        typer.echo(f"{alias}: {f'version {version.version}' if version else 'none'}")


@app.command()
def restore(
    version: Annotated[str, typer.Argument(help="Number of the version, or its alias.")],
    into: Annotated[
        Path | None, typer.Option(help="New folder. Default: beside the repository.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Judge it again, with its own code, and compare the bytes.")
    ] = False,
) -> None:
    """Bring a version's code, parameters, dvc.lock and data back into a git worktree of their own."""
    from fashion_ops import restore as way_back
    from fashion_ops.ledger import LedgerError
    from fashion_ops.snapshot import SnapshotError

    params, _ = _params()
    try:
        restored = way_back.restore(find_root(), params.registration.model, version, into)
        typer.echo(f"{restored.folder}: version {restored.version.version}, `dvc status` is clean")
        for line in restored.other_packages:
            typer.echo(f"another package: {line}")
        wrong = way_back.verify(restored) if verify else []
    except (ValueError, OSError, way_back.RestoreError, SnapshotError, LedgerError) as error:
        _complain(error)
        raise typer.Exit(2) from error
    if verify:
        typer.echo(
            "\n".join(wrong) if wrong else "models and evaluation are the recorded ones, bit for bit"
        )
    if wrong:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
