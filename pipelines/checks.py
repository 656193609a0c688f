"""Asset checks: those of ``fashion_ops.registry.checks`` as Dagster shows them and stops at them."""

import json

import dagster as dg

from fashion_ops.registry.checks import CHECKS as PLAIN
from fashion_ops.registry.checks import Check
from pipelines.home import RepositoryResource


def make_check(plain: Check) -> dg.AssetChecksDefinition:
    """The asset check of a plain one."""

    def check(house: RepositoryResource) -> dg.AssetCheckResult:
        outcome = plain.run(house.params(), house.workspace)
        return dg.AssetCheckResult(passed=outcome.passed, metadata=outcome.facts)

    decorate = dg.asset_check(
        asset=plain.step, name=plain.name, blocking=plain.blocking, description=plain.run.__doc__
    )
    return decorate(check)


@dg.asset_check(asset="drift")
def newest_batch_is_alike(house: RepositoryResource) -> dg.AssetCheckResult:
    """Warns when the newest batch is unlike the training data; it is trained on all the same."""
    found = json.loads((house.workspace.drift / "drift.json").read_text(encoding="utf-8"))
    values = {name: f"{m['value']:.3f} (p {m['p']:.2g})" for name, m in found["measures"].items()}
    facts = {"batch": found["batch"] or "none", "drifted": ", ".join(found["drifted"]) or "none"}
    return dg.AssetCheckResult(
        passed=not found["drifted"], severity=dg.AssetCheckSeverity.WARN, metadata=facts | values
    )


CHECKS = [*(make_check(plain) for plain in PLAIN), newest_batch_is_alike]
