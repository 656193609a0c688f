"""``python -m papers PAPER --table N``: reproduces a table of a paper on the catalog at hand.

Each paper is one command here and one package beside this file.
"""

import importlib
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from fashion_ops.commands.answers import AnsweringGroup, console
from fashion_ops.params import load_params
from fashion_ops.workspace import current_workspace

app = typer.Typer(
    cls=AnsweringGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Reproduce a paper's tables on the catalog at hand.",
)

Seeds = Annotated[str | None, typer.Option(help="Seeds of the training runs. Default: 0,1,2.")]
SeedsOfParams = Annotated[
    str | None, typer.Option(help="Seeds of the training runs, as in 0,1,2. Default: params.yaml's.")
]
Images = Annotated[
    int | None, typer.Option(min=1, help="Number of validation images to evaluate on. Default: all.")
]
Config = Annotated[
    Path | None, typer.Option(help="Settings of the training runs, such as configs/gle/fld.yaml.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Length of each training run.")]


@app.callback()
def papers(
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
) -> None:
    """Makes each paper a subcommand, even if there is only one."""


@app.command()
def deepmark(
    table: Annotated[str | None, typer.Option(help="1, 2, 4, 5, 6 or 7.")] = None,
    figure: Annotated[str | None, typer.Option(help="1, 3, 4 or 12.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/deepmark"
    ),
    images: Images = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Tables 1 and 4: length of each training run.")
    ] = None,
    backbones: Annotated[
        str | None, typer.Option(help="Table 1 and figures: the rows, as in small,mdla34.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Figure 4: images in a training step.")
    ] = None,
) -> None:
    """DeepMark++ (2020): a table or a figure of section 4."""
    options = {"images": images, "epochs": epochs, "backbones": _list(backbones), "batch": batch}
    make("deepmark", {"table": table, "figure": figure}, out, options)


@app.command("agg-finetune")
def agg_finetune(
    table: Annotated[
        str | None, typer.Option(help="2, 3, inference_switches or training_switches.")
    ] = None,
    figure: Annotated[str | None, typer.Option(help="1 or gain.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/agg_finetune"
    ),
    images: Images = None,
    epochs: Epochs = None,
    seeds: SeedsOfParams = None,
    remedies: Annotated[
        str | None,
        typer.Option(help="Figure gain: of warm,joint,longer,held; '' for none. Default: all."),
    ] = None,
) -> None:
    """Aggregation & Finetuning (2020): its tables and its open questions."""
    options = {"images": images, "epochs": epochs}
    options |= {"seeds": _seeds(seeds), "remedies": _list(remedies)}
    make("agg_finetune", {"table": table, "figure": figure}, out, options)


@app.command()
def dfa(
    table: Annotated[str | None, typer.Option(help="2, 3, 4 or stages.")] = None,
    figure: Annotated[str | None, typer.Option(help="1, 2 or 5 to 11.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/dfa"
    ),
    epochs: Epochs = None,
    backbones: Annotated[str | None, typer.Option(help="Backbone, such as small or vgg16.")] = None,
    seeds: SeedsOfParams = None,
    rows: Annotated[str | None, typer.Option(help="Table 2: the only rows to make.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Figures 7 and 10: settings of GLE, as of papers attributes.")
    ] = None,
) -> None:
    """DFA (2016): a table or a figure of section 4; trains the models that it compares."""
    options = {"epochs": epochs, "backbones": _list(backbones), "seeds": _seeds(seeds)}
    options |= {"rows": _list(rows), "config": config}
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
    """GLE (2019): trains models with k = 0 to 3 global-local modules, as in Table 1."""
    make("gle", "table1", out, {"config": config, "seeds": _seeds(seeds), "epochs": epochs})


@app.command()
def pcloss(
    table: Annotated[
        str, typer.Option(help="models (DFA's stage 1 and GLE, on FLD) or landmarker.")
    ] = "models",
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/pcloss"
    ),
    config: Config = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    rows: Annotated[
        str | None, typer.Option(help="The only rows, as in regression, or in without,weight 1.")
    ] = None,
) -> None:
    """PCLoss: trains a regression, GLE or the landmarker without and with it."""
    options = {"config": config, "seeds": _seeds(seeds), "epochs": epochs, "rows": _list(rows)}
    make("pcloss", {"table": table}, out, options)


@app.command()
def heads(
    figure: Annotated[str | None, typer.Option(help="reliability; without it the table.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/heads"
    ),
    config: Annotated[
        Path | None, typer.Option(help="Networks and time. Default: configs/heads/small.yaml.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Of training for each network, if not the config's.")
    ] = None,
    images: Images = None,
    seeds: Seeds = None,
    rows: Annotated[str | None, typer.Option(help="The only rows, as in 'ViT + SimCC'.")] = None,
) -> None:
    """HRNet and ViT with heatmaps, SimCC and RLE: equal time of training; scores beside errors."""
    options = {"config": config, "seconds": seconds, "images": images, "seeds": _seeds(seeds)}
    selection: str | dict[str, str | None] = "networks" if figure is None else {"figure": figure}
    make("heads", selection, out, {**options, "rows": _list(rows)})


@app.command("few_labels")
def few_labels(
    photos: Annotated[
        str, typer.Option(help="Files of labelled photos, with commas: COCO, or a list of photos.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/few_labels"
    ),
    start: Annotated[
        str | None, typer.Option(help="Folder of a landmarker. Default: shipped, the package's.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of each training run, of 8 samples. Default: 60.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds of the training runs. Default: 0.")] = None,
    rows: Annotated[
        str | None, typer.Option(help="The only curves, as in shipped,fresh + wardrobe.")
    ] = None,
) -> None:
    """0 to 50 labelled photos, with and without the wardrobe and the package's weights."""
    options = {"photos": _list(photos), "start": start, "steps": steps, "seeds": _seeds(seeds)}
    make("few_labels", "few_labels", out, {**options, "rows": _list(rows)})


@app.command()
def attributes(
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/applications"
    ),
    config: Config = None,
    seeds: Seeds = None,
) -> None:
    """DFA, section 4.4: top-5 recall of attributes from features of four localisations."""
    make("applications", "attributes", out, {"config": config, "seeds": _seeds(seeds)})


@app.command()
def retrieval(
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/applications"
    ),
    config: Config = None,
    seeds: Seeds = None,
) -> None:
    """DFA, section 4.4: retrieval of the same item by features of four localisations."""
    make("applications", "retrieval", out, {"config": config, "seeds": _seeds(seeds)})


@app.command()
def everything(
    out: Annotated[Path, typer.Option(help="Folder for NAME.md, .csv and .png.")] = Path(
        "reports/ablations/everything"
    ),
    images: Images = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    rows: Annotated[str | None, typer.Option(help="The only techniques, with commas.")] = None,
) -> None:
    """Each technique of the papers by itself on one common baseline; goes on where it was."""
    options = {"images": images, "seeds": _seeds(seeds), "epochs": epochs, "rows": _list(rows)}
    make("everything", "everything", out, options)


def _list(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(filter(None, text.split(",")))


def _seeds(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(n) for n in text.split(","))
    except ValueError:
        raise ValueError(f"--seeds {text}: must be whole numbers, as in 0,1,2") from None


def _as_typed(options: dict[str, Any]) -> list[str]:
    """Options as words of a command line."""
    words = []
    for key, value in options.items():
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(f"--{key} {shlex.quote(text)}")
    return words


def make(
    package: str, selection: str | dict[str, str | None], out: Path, options: dict[str, Any]
) -> None:
    """Make one table of a paper's package, write its files and print it.

    Exits with 2 unless ``selection`` is exactly one known table, and where the catalog or a model is
    missing.

    Args:
        package: whose ``TABLES`` and ``FIGURES`` can be selected.
        selection: the values of ``--table`` and ``--figure``, or the table of a command that has one.
        out: folder for the files.
        options: the other options of the command, which become fields of ``TableConfig``.
    """
    from papers.config import TableConfig
    from papers.write import check_table, markdown, write_table

    paper = importlib.import_module(f"papers.{package}")
    if isinstance(selection, str):
        words, names = [package if package != "applications" else selection], [selection]
    else:
        words = [package.replace("_", "-"), *_as_typed(selection)]
        names = [f"{kind}{n}" if n.isdigit() else n for kind, n in selection.items() if n is not None]
    known = (*paper.TABLES, *getattr(paper, "FIGURES", ()))
    if len(names) != 1 or names[0] not in known:
        raise ValueError(f"expected one of {', '.join(known)}, got {', '.join(names) or 'nothing'}")
    command = " ".join(["python", "-m", "papers", *words, *_as_typed(options)])
    ws = current_workspace()
    fields = {"training_config" if key == "config" else key: value for key, value in options.items()}
    check_table(out, names[0], [path for path in options.values() if isinstance(path, Path)])
    config = TableConfig(load_params(ws.params), ws, **fields)
    others = ("figure7", "figure10") if package == "dfa" else ()
    folder = "applications" if names[0] in others else package  # of the same paper
    module = importlib.import_module(f"papers.{folder}.{names[0]}")
    table = module.run(config)
    typer.echo(markdown(table, command))
    for path in write_table(table, out, command, getattr(module, "draw", None)):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
