"""``python -m papers PAPER --table N``: makes a table of a paper from the catalog at hand, as files.

Each paper is one command here and one package beside this file.
"""

import importlib
import shlex
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from fashion_ops.params import load_params
from fashion_ops.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="Make a paper's tables on the catalog at hand.")
console = Console(stderr=True)

Seeds = Annotated[str | None, typer.Option(help="Trainings of each row, as in 0,1,2, the default.")]
Images = Annotated[int | None, typer.Option(min=1, help="Judge so many validation images, not all.")]
Config = Annotated[
    Path | None, typer.Option(help="Settings of the runs, such as configs/gle/fld.yaml.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Length of each training run.")]


@app.callback()
def papers() -> None:
    """Keep a paper's name a word of its own, also while there is only one."""


@app.command()
def deepmark(
    table: Annotated[str | None, typer.Option(help="1, 2, 4, 5, 6 or 7.")] = None,
    figure: Annotated[str | None, typer.Option(help="4 or 12.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/deepmark"
    ),
    images: Images = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Table 1: length of each training run.")
    ] = None,
    backbones: Annotated[
        str | None, typer.Option(help="Table 1, figures: rows, as in small,mdla34.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Figure 4: images of a step.")] = None,
) -> None:
    """DeepMark++ (2020): a table or a figure of section 4."""
    options = {"images": images, "epochs": epochs, "backbones": _list(backbones), "batch": batch}
    make("deepmark", {"table": table, "figure": figure}, out, options)


@app.command("agg-finetune")
def agg_finetune(
    table: Annotated[str | None, typer.Option(help="2, 3, puzzle or puzzle_training.")] = None,
    figure: Annotated[str | None, typer.Option(help="gain.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/agg_finetune"
    ),
    images: Images = None,
    epochs: Epochs = None,
    seeds: Annotated[
        str | None, typer.Option(help="Figure gain: trainings, as in 0,1,2. Default: params.yaml's.")
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(help="Figure gain: of warm,joint,longer,held; empty for none. Default: all."),
    ] = None,
) -> None:
    """Aggregation & Finetuning (2020): its tables, and what it left open."""
    options = {"images": images, "epochs": epochs}
    options |= {"seeds": _seeds(seeds), "answers": _list(answers)}
    make("agg_finetune", {"table": table, "figure": figure}, out, options)


@app.command()
def dfa(
    table: Annotated[str | None, typer.Option(help="2, 3 or 4.")] = None,
    figure: Annotated[str | None, typer.Option(help="5, 6 or 7.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/dfa"
    ),
    epochs: Epochs = None,
    backbones: Annotated[str | None, typer.Option(help="Trunk, as in small or vgg16.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Trainings to average, as in 0,1,2. Default: params.yaml's.")
    ] = None,
) -> None:
    """DFA (2016): a table or a figure of section 4; trains what it compares."""
    options = {"epochs": epochs, "backbones": _list(backbones), "seeds": _seeds(seeds)}
    make("dfa", {"table": table, "figure": figure}, out, options)


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
    make("gle", "table1", out, {"config": config, "seeds": _seeds(seeds), "epochs": epochs})


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
    make("pcloss", "models", out, {"config": config, "seeds": _seeds(seeds), "epochs": epochs})


@app.command()
def attributes(
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/applications"
    ),
    config: Config = None,
    seeds: Seeds = None,
) -> None:
    """DFA, section 4.4: attributes from features of four localisations; top-5 recall."""
    make("applications", "attributes", out, {"config": config, "seeds": _seeds(seeds)})


@app.command()
def retrieval(
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/applications"
    ),
    config: Config = None,
    seeds: Seeds = None,
) -> None:
    """DFA, section 4.4: the same item in the shop's images, by features of four localisations."""
    make("applications", "retrieval", out, {"config": config, "seeds": _seeds(seeds)})


def _list(given: str | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(filter(None, given.split(",")))


def _seeds(given: str | None) -> tuple[int, ...] | None:
    try:
        return None if given is None else tuple(int(n) for n in given.split(","))
    except ValueError:
        _stop(f"--seeds {given}: must be whole numbers, as in 0,1,2")


def _words(given: dict) -> list[str]:
    """Options as they are typed."""
    words = []
    for key, value in given.items():
        if value is not None:
            said = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(f"--{key} {shlex.quote(said)}")
    return words


def make(package: str, asked: str | dict[str, str | None], out: Path, options: dict) -> None:
    """Make one table of a paper's package, write its files and print it.

    Args:
        package: whose ``TABLES`` and ``FIGURES`` there are.
        asked: the table of a command that makes one; or what ``--table`` and ``--figure`` say.
        out: folder for the files.
        options: fields of ``Request``.

    Exits with 2 where the request can't be met: not exactly one known table, no catalog, no model.
    """
    from papers.config import Request
    from papers.write import markdown, write_table

    paper = importlib.import_module(f"papers.{package}")
    if isinstance(asked, str):
        words, names = [package if package != "applications" else asked], [asked]
    else:
        words = [package.replace("_", "-"), *_words(asked)]
        names = [f"{kind}{n}" if n.isdigit() else n for kind, n in asked.items() if n is not None]
    known = (*paper.TABLES, *getattr(paper, "FIGURES", ()))
    if len(names) != 1 or names[0] not in known:
        _stop(f"expected one of {', '.join(known)}, got {', '.join(names) or 'nothing'}")
    command = " ".join(["python", "-m", "papers", *words, *_words(options)])
    ws = Workspace()
    try:
        request = Request(load_params(ws.params), ws, **options)
        module = importlib.import_module(f"{paper.__name__}.{names[0]}")
        table = module.run(request)
    except (FileNotFoundError, ValueError) as error:
        _stop(str(error))
    typer.echo(markdown(table, command))
    for path in write_table(table, out, command, getattr(module, "draw", None)):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _stop(message: str) -> NoReturn:
    console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(2)
