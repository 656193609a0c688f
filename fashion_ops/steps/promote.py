"""Step ``promote``: the challenger becomes champion if the gate of ``params.yaml`` holds.

``registry.measurements`` takes the numbers, ``registry.gate`` applies the rules, and
``registry.transitions`` moves the aliases. The decision with every number stays with the version, as
JSON and as a page.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from fashion_ops.params import Params
from fashion_ops.registry import client as registry
from fashion_ops.registry.gate import apply_rules
from fashion_ops.registry.measurements import measure
from fashion_ops.registry.promotion import Measured, Promotable, promote_challenger
from fashion_ops.workspace import Workspace


@registry.failures_in_one_line()
def run(
    params: Params,
    ws: Workspace,
    tags: Mapping[str, str] | None = None,
    again: bool = False,
    replace_unloadable: bool = False,
    on_decision: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Make the challenger champion, or say why not.

    Nothing changes if the challenger is champion already, or if another process moves the aliases.

    Args:
        params: the parameters; ``promote`` is the gate.
        ws: the workspace, with the catalog that the challenger was evaluated on.
        tags: facts about this run, such as its id, that are kept in promotion.json.
        again: allow a version that was rolled back.
        replace_unloadable: allow a promotion without comparison where this code can't load the champion
            and its recorded predictions are of other images. Otherwise it keeps serving.
        on_decision: called with the content of promotion.json, if a decision had to be made.

    Returns:
        ``promoted``: whether the challenger is champion now; ``version``: number of the challenger;
        ``champion``: number of the version in use now, 0 for none; ``reasons``: the reasons in words,
        with numbers.

    Raises:
        ValueError: the registry has no challenger.
        FileNotFoundError: the challenger lacks a model or a record.
        ServiceError: the registry does not answer.
        UnsafeModel: there is a pickle among its models.
    """
    client = registry.connect(ws.root, artifacts=True)
    model = Promotable(
        name=params.registration.model,
        step="promote",
        made_by="register",
        evaluated="images",
        tags=("git_commit", "dvc_lock_md5", "snapshot"),
        gate=params.promote.model_dump(),
        folder=ws.promotions,
    )

    def measured(challenger: ModelVersion, champion: ModelVersion | None) -> Measured:
        measurements = measure(params, ws, challenger, champion, again)
        return measurements, apply_rules(measurements.facts, params.promote)

    return promote_challenger(client, model, measured, tags or {}, replace_unloadable, on_decision)
