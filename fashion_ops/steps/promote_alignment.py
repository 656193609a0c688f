"""Step ``promote_alignment``: the challenger of alignment becomes champion if the gate holds.

``registry.alignment_measurements`` takes the numbers, ``registry.alignment_gate`` applies the rules of
``params.yaml``, and ``registry.transitions`` moves the aliases, as for the other model. The decision
with every number stays with the version, as JSON and as a page.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from fashion_ops.params import Params
from fashion_ops.registry import client as registry
from fashion_ops.registry.alignment_gate import apply_rules
from fashion_ops.registry.alignment_measurements import measure
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

    Arguments, result and errors are those of the step ``promote``.
    """
    client = registry.connect(ws.root, artifacts=True)
    model = Promotable(
        name=params.register_alignment.model,
        step="promote_alignment",
        made_by="register_alignment",
        evaluated="garments",
        tags=("method", "source", "git_commit", "dvc_lock_md5", "snapshot"),
        gate=params.promote_alignment.model_dump(),
        folder=ws.alignment_promotions,
    )

    def measured(challenger: ModelVersion, champion: ModelVersion | None) -> Measured:
        measurements = measure(params, ws, challenger, champion, again)
        return measurements, apply_rules(measurements.facts, params.promote_alignment)

    return promote_challenger(client, model, measured, tags or {}, replace_unloadable, on_decision)
