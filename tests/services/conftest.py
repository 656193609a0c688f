"""One stack for all tests of the services, whose environment is that of the tests until they end."""

from collections.abc import Iterator

import dagster as dg
import pytest
from clone import clone_into
from stack import BUCKET, Stack, wait_for
from week import Week


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    clone = clone_into(tmp_path_factory.mktemp("week") / "fashion-ops")
    params = clone.params
    params["synthesize"] |= {"train": 26, "validation": 13, "size": 64}
    params["promote"] |= {key: 0.0 for key in params["promote"] if key.startswith("min_")}
    params["promote"] |= dict.fromkeys(("max_drop", "max_likely_drop", "max_category_drop"), 1.0)
    params["promote"] |= {"max_latency_ms": 600_000.0}
    clone.set_params(params)
    clone.run("dvc", "remote", "add", "--default", "--quiet", "store", f"s3://{BUCKET}/dvc")
    with Stack(clone.root) as stack, pytest.MonkeyPatch.context() as patch:
        for name, value in stack.env.items():
            patch.setenv(name, value)
        for name in ("dagster-code", "dagster-webserver", "dagster-daemon"):
            stack.start(name)
        stack.ready("dagster-code", "dagster-webserver")
        with dg.DagsterInstance.get() as instance:
            made = Week(clone, stack, instance)
            wait_for("the webserver's look at the code", lambda: bool(made.repositories()))
            yield made
