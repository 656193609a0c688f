"""Who is told when something goes wrong: the log, and a webhook where one is set.

A failed run says what failed and that the champion is as it was; what is overdue is said once.
"""

import json
import logging
import os
import urllib.request
from typing import Any

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState

from fashion_ops.params import Notify
from fashion_ops.workspace import Workspace
from pipelines.home import RepositoryResource
from pipelines.metadata import cause

log = logging.getLogger(__name__)
WEBHOOK = "FASHION_OPS_WEBHOOK"  # environment: an address with a key in it belongs into no file
PATIENCE = 10.0  # seconds
OVERDUE = dg.AssetKey("register")  # every run that gets there says so, whether it made anything or not


def tell(notify: Notify, event: str, text: str, **facts: Any) -> bool:
    """Log ``text``, and post it with the facts to the webhook; whether that was asked for and worked.

    A webhook that is down is itself only logged: nothing may fail because nobody listens.
    """
    log.error("%s", text)
    address = os.environ.get(WEBHOOK) or notify.webhook
    if not address:
        return False
    body = json.dumps({"text": text, "event": event, **facts}).encode()
    headers = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(address, body, headers)  # a POST, as it has a body
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return True
    except (OSError, ValueError) as error:  # HTTP errors are OSErrors; the address stays unsaid
        log.error("the webhook could not be told: %s", error)
        return False


def champion(ws: Workspace, model: str) -> str:
    """Which version serves now, in words; a registry that doesn't answer is said to be so."""
    try:
        from fashion_ops.registry import client as registry

        version = registry.with_alias(registry.connect(ws.root), model, registry.CHAMPION)
    except Exception as error:  # whatever a tracking server may answer
        return f"the champion can't be asked for: {error}"
    return f"the champion is still version {version.version}" if version else "there is no champion yet"


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=30)
def failed_runs(context: dg.RunFailureSensorContext, house: RepositoryResource) -> None:
    """Tells of every failed run: the steps, the causes, and that the champion is untouched."""
    run = context.dagster_run
    causes = [
        f"{event.step_key}: {cause(event.step_failure_data)}"
        for event in context.get_step_failure_events()
    ]
    params = house.params()
    who = run.tags.get("dagster/schedule_name") or run.tags.get("dagster/sensor_name") or "by hand"
    still = champion(house.workspace, params.registration.model)
    text = f"run {run.run_id} of {run.job_name} ({who}) failed: "
    text += f"{'; '.join(causes) or context.failure_event.message}. {still.capitalize()}."
    facts = {"run": run.run_id, "job": run.job_name, "steps": causes, "champion": still}
    tell(params.notify, "run_failed", text, **facts)


@dg.sensor(default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=60)
def overdue(context: dg.SensorEvaluationContext, house: RepositoryResource) -> dg.SkipReason:
    """Tells once when no run has got as far as ``register`` for ``retrain.overdue_days``."""
    records = context.instance.get_freshness_state_records([OVERDUE])
    state = records[OVERDUE].freshness_state if OVERDUE in records else FreshnessState.UNKNOWN
    if state == FreshnessState.FAIL and context.cursor != state.value:
        params = house.params()
        text = f"no run has got as far as register for {params.retrain.overdue_days:g} days"
        tell(params.notify, "overdue", text, asset="register")
    context.update_cursor(state.value)
    return dg.SkipReason(f"freshness of register: {state.value}")
