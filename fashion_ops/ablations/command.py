"""``fashion-ops ablate PAPER --table N``: a paper's table on the catalog at hand, as files.

A module of the command line that the tables' package owns; a paper is one command here and one package
beside this file.
"""

import importlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from fashion_ops.params import load_params
from fashion_ops.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="Make a paper's tables on the catalog at hand.")
console = Console(stderr=True)

Seeds = Annotated[str | None, typer.Option(help="Trainings of each row, as in 0,1,2, the default.")]
Config = Annotated[
    Path | None, typer.Option(help="Settings of the runs, such as configs/gle/fld.yaml.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Length of each training run.")]


@app.callback()
def papers() -> None:
    """Keep a paper's name a word of its own, also while there is only one."""


@app.command()
def deepmark(
    table: Annotated[int | None, typer.Option(help="1, 2, 4, 5, 6 or 7.")] = None,
    figure: Annotated[int | None, typer.Option(help="4 or 12.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/deepmark"
    ),
    pictures: Annotated[
        int | None, typer.Option(min=1, help="Judge so many validation pictures, not all.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Table 1: length of each training run.")
    ] = None,
    backbones: Annotated[
        str | None, typer.Option(help="Table 1, figures: rows, as in small,mdla34.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Figure 4: pictures of a step.")] = None,
) -> None:
    """DeepMark++ (2020): a table or a figure of section 4."""
    from fashion_ops.ablations.deepmark import FIGURES, TABLES

    asked = [f"{kind}{n}" for kind, n in (("table", table), ("figure", figure)) if n is not None]
    options = {
        "pictures": pictures,
        "epochs": epochs,
        "backbones": None if backbones is None else tuple(filter(None, backbones.split(","))),
        "batch": batch,
    }
    words = ["fashion-ops", "ablate", "deepmark"]
    words += [f"--{k} {n}" for k, n in (("table", table), ("figure", figure)) if n is not None]
    words += [
        f"--{name} {shlex.quote(','.join(value) if isinstance(value, tuple) else str(value))}"
        for name, value in options.items()
        if value is not None
    ]
    make("fashion_ops.ablations.deepmark", (*TABLES, *FIGURES), asked, out, " ".join(words), options)


@app.command("agg-finetune")
def agg_finetune(
    table: Annotated[str | None, typer.Option(help="2, 3, puzzle or puzzle_training.")] = None,
    figure: Annotated[str | None, typer.Option(help="gain.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/agg_finetune"
    ),
    pictures: Annotated[
        int | None, typer.Option(min=1, help="Judge so many validation pictures, not all.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of each training run.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Figure gain: trainings, as in 0,1,2. Default: params.yaml's.")
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(help="Figure gain: of warm,joint,longer,held; empty for none. Default: all."),
    ] = None,
) -> None:
    """Aggregation & Finetuning (2020): its tables, and what it left open."""
    from fashion_ops.ablations.agg_finetune import FIGURES, TABLES

    asked = [] if table is None else [f"table{table}" if table.isdigit() else table]
    asked += [] if figure is None else [figure]
    given = {"table": table, "figure": figure, "pictures": pictures, "epochs": epochs}
    given |= {"seeds": seeds, "answers": answers}
    words = [f"--{k} {shlex.quote(str(v))}" for k, v in given.items() if v is not None]
    options = {
        "pictures": pictures,
        "epochs": epochs,
        "seeds": _seeds(seeds),
        "answers": None if answers is None else tuple(filter(None, answers.split(","))),
    }
    command = " ".join(["fashion-ops", "ablate", "agg-finetune", *words])
    make("fashion_ops.ablations.agg_finetune", (*TABLES, *FIGURES), asked, out, command, options)


@app.command()
def dfa(
    table: Annotated[int | None, typer.Option(help="2, 3 or 4.")] = None,
    figure: Annotated[int | None, typer.Option(help="5, 6 or 7.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/dfa"
    ),
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of each training run.")] = None,
    backbones: Annotated[str | None, typer.Option(help="Trunk, as in small or vgg16.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Trainings to average, as in 0,1,2. Default: params.yaml's.")
    ] = None,
) -> None:
    """DFA (2016): a table or a figure of section 4; trains what it compares."""
    from fashion_ops.ablations.dfa import FIGURES, TABLES

    asked = [f"{kind}{n}" for kind, n in (("table", table), ("figure", figure)) if n is not None]
    given = {"table": table, "figure": figure, "epochs": epochs, "backbones": backbones}
    given |= {"seeds": seeds}
    words = [f"--{k} {shlex.quote(str(v))}" for k, v in given.items() if v is not None]
    options = {
        "epochs": epochs,
        "backbones": None if backbones is None else tuple(filter(None, backbones.split(","))),
        "seeds": _seeds(seeds),
    }
    command = " ".join(["fashion-ops", "ablate", "dfa", *words])
    make("fashion_ops.ablations.dfa", (*TABLES, *FIGURES), asked, out, command, options)


@app.command()
def gle(
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/gle"
    ),
    config: Config = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
) -> None:
    """GLE (2019): Table 1 with k = 0 to 3 global-local modules; trains them all."""
    options = {"config": config, "seeds": _seeds(seeds), "epochs": epochs}
    make("fashion_ops.ablations.gle", ("table1",), ["table1"], out, _words("gle", options), options)


@app.command()
def pcloss(
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/pcloss"
    ),
    config: Config = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
) -> None:
    """PCLoss: a regression (DFA's stage 1) and a heatmap model (GLE) without it and with it."""
    options = {"config": config, "seeds": _seeds(seeds), "epochs": epochs}
    make(
        "fashion_ops.ablations.pcloss", ("models",), ["models"], out, _words("pcloss", options), options
    )


@app.command()
def attributes(
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/applications"
    ),
    config: Config = None,
    seeds: Seeds = None,
) -> None:
    """DFA, section 4.4: attributes from features of four localisations; top-5 recall."""
    options = {"config": config, "seeds": _seeds(seeds)}
    words = _words("attributes", options)
    make("fashion_ops.ablations.applications", ("attributes",), ["attributes"], out, words, options)


@app.command()
def retrieval(
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/applications"
    ),
    config: Config = None,
    seeds: Seeds = None,
) -> None:
    """DFA, section 4.4: the same item in the shop's pictures, by features of four localisations."""
    options = {"config": config, "seeds": _seeds(seeds)}
    words = _words("retrieval", options)
    make("fashion_ops.ablations.applications", ("retrieval",), ["retrieval"], out, words, options)


def _seeds(given: str | None) -> tuple[int, ...] | None:
    try:
        return None if given is None else tuple(int(n) for n in given.split(","))
    except ValueError:
        _stop(f"--seeds {given}: must be whole numbers, as in 0,1,2")


def _words(name: str, options: dict) -> str:
    """The command that was typed."""
    words = ["fashion-ops", "ablate", name]
    for key, value in options.items():
        if value is not None:
            said = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(f"--{key} {shlex.quote(said)}")
    return " ".join(words)


def make(
    package: str, known: Sequence[str], asked: Sequence[str], out: Path, command: str, options: dict
) -> None:
    """Make one table of a paper's package, write its files and print it.

    Exits with 2 where the request can't be met: not exactly one known table, no catalog, no model.
    """
    from fashion_ops.ablations.request import Request
    from fashion_ops.ablations.write import markdown, write_table

    if len(asked) != 1 or asked[0] not in known:
        said = ", ".join(asked) or "nothing"
        _stop(f"expected one of {', '.join(known)}, got {said}")
    ws = Workspace()
    try:
        request = Request(load_params(ws.params), ws, **options)
        module = importlib.import_module(f"{package}.{asked[0]}")
        table = module.run(request)
    except (FileNotFoundError, ValueError) as error:
        _stop(str(error))
    typer.echo(markdown(table, command))
    for path in write_table(table, out, command, getattr(module, "draw", None)):
        console.print(f"wrote {path}", highlight=False)


def _stop(message: str) -> NoReturn:
    console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(2)
