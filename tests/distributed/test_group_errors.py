"""Which errors of several workers end their training, and what the driver says then."""

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.train import ControllerError, WorkerGroupError

from fashion_ops.distributed import train_group
from fashion_ops.distributed.payload import even_share
from fashion_ops.distributed.worker import WorkerLost

MISTAKE = FloatingPointError("epoch 3: the loss is nan")
UNREACHED = ConnectionError("another worker was lost: Connection closed by peer")
DEAD = ActorDiedError()


def test_a_mistake_ends_the_run_and_a_lost_worker_does_not() -> None:
    stop = train_group._stop_at_mistake()
    with pytest.raises(FloatingPointError):
        stop.after_exception(None, {0: UNREACHED, 1: MISTAKE})
    stop.after_exception(None, {0: UNREACHED})
    stop.after_exception(None, {0: RuntimeError("NCCL communicator was aborted"), 1: DEAD})


def test_the_driver_gets_the_mistake_itself_or_hears_that_workers_were_lost() -> None:
    assert train_group._cause(ControllerError(MISTAKE)) is MISTAKE
    setup = RayTaskError("setup", "a traceback", UNREACHED)
    errors = [ControllerError(setup), WorkerGroupError("text", {0: UNREACHED})]
    for cause in map(train_group._cause, errors):
        assert isinstance(cause, WorkerLost) and "another worker was lost" in str(cause)


@pytest.mark.parametrize(("most", "batch", "share"), [(4, 16, 4), (4, 6, 3), (2, 7, 1), (3, 1, 1)])
def test_workers_split_a_batch_evenly(most: int, batch: int, share: int) -> None:
    assert even_share(most, batch) == share
