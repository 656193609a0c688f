"""Asset checks: those of ``fashion_ops.stages.checks`` as Dagster shows them and stops at them."""

import dagster as dg

from fashion_ops.stages.checks import CHECKS as PLAIN
from fashion_ops.stages.checks import Check
from pipelines.home import House


def make_check(plain: Check) -> dg.AssetChecksDefinition:
    """The asset check of a plain one."""

    def check(house: House) -> dg.AssetCheckResult:
        outcome = plain.run(house.params(), house.workspace)
        return dg.AssetCheckResult(passed=outcome.passed, metadata=outcome.facts)

    decorate = dg.asset_check(
        asset=plain.step, name=plain.name, blocking=plain.blocking, description=plain.run.__doc__
    )
    return decorate(check)


CHECKS = [make_check(plain) for plain in PLAIN]
