"""Step ``train_detector``: CenterNet with landmarks on whole images, all 13 categories at once."""

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import checkpoint_path, load_garments, used_grouping
from fashion_ops.methods.centernet.training import DetectorData, train_detector
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace, publish


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Train on the train split and write ``ws.detector``.

    Returns:
        images and garments: numbers of the train split; epochs; the mean losses of the last epoch;
        with ``start_from`` also tensors_taken and tensors_fresh: how many weight tensors the warm start
        copied and how many it could not copy (model.json names these).

    Raises:
        FileNotFoundError: ``start_from`` names no model folder and no file.
        ValueError: unknown backbone, or no weight of ``start_from`` fits.
        OSError: pretrained weights can't be loaded.
    """
    config = params.train_detector
    catalog = Catalog(ws.catalog)
    _, garments = load_garments(ws, "train", labelled=False)
    images = catalog.images[catalog.images["split"] == "train"]
    checkpoint = checkpoint_path(ws, "train_detector", config, params.seed)
    options = TrainerOptions(
        checkpoint=checkpoint,
        loader_workers=params.distributed.loader_workers,
        devices=params.distributed.devices,
        bar=True,
    )
    with publish(ws.detector) as folder:
        history, start = train_detector(
            config,
            DetectorData(images, garments, used_grouping(ws), catalog.image),
            folder,
            params.seed,
            options,
            ws.root / config.start_from if config.start_from else None,
        )
    checkpoint.unlink(missing_ok=True)
    metrics = {"images": len(images), "garments": len(garments), "epochs": config.epochs}
    if start is not None:
        metrics |= {"tensors_taken": start.taken, "tensors_fresh": len(start.fresh)}
    return {**metrics, **history[-1]}
