"""The asset checks: those of ``fashion_ops.registry.checks``, and two that only warn."""

import dagster as dg

from fashion_ops.errors.reading import read_object
from fashion_ops.registry.checks import CHECKS as STEP_CHECKS
from fashion_ops.registry.checks import Check
from pipelines.metadata import step_failure
from pipelines.resources import RepositoryResource
from pipelines.steps import BATCHES


def make_check(check: Check) -> dg.AssetChecksDefinition:
    """The asset check that runs a check of ``fashion_ops.registry.checks``."""

    def run(repository: RepositoryResource) -> dg.AssetCheckResult:
        try:
            outcome = check.run(repository.params(), repository.workspace)
        except Exception as error:
            raise step_failure(error) from error
        return dg.AssetCheckResult(passed=outcome.passed, metadata=outcome.facts)

    decorate = dg.asset_check(
        asset=check.step, name=check.name, blocking=check.blocking, description=check.run.__doc__
    )
    return decorate(run)


@dg.asset_check(asset="drift")
def newest_batch_is_alike(repository: RepositoryResource) -> dg.AssetCheckResult:
    """Warns when the newest batch differs from the training data, which it is added to in any case."""
    drift = read_object(repository.workspace.drift / "drift.json")
    values = {name: f"{m['value']:.3f} (p {m['p']:.2g})" for name, m in drift["measures"].items()}
    facts = {"batch": drift["batch"] or "none", "drifted": ", ".join(drift["drifted"]) or "none"}
    return dg.AssetCheckResult(
        passed=not drift["drifted"], severity=dg.AssetCheckSeverity.WARN, metadata=facts | values
    )


@dg.asset_check(asset=BATCHES)
def nothing_rejected(repository: RepositoryResource) -> dg.AssetCheckResult:
    """Warns while ``data/rejected`` holds refused batches that somebody should look at."""
    from fashion_ops.catalog.inbox import REASON_SUFFIX
    from fashion_ops.catalog.quarantine import readable

    folder = repository.workspace.rejected
    names = (
        sorted(readable(p.name) for p in folder.glob(f"*{REASON_SUFFIX}")) if folder.is_dir() else []
    )
    return dg.AssetCheckResult(
        passed=not names,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"data/rejected": ", ".join(names) or "empty"},
    )


CHECKS = [*map(make_check, STEP_CHECKS), newest_batch_is_alike, nothing_rejected]
