"""A GPU that is not there, in two forms; code that forgets the device of a tensor fails on both.

``shapes_on_gpu`` is torch's ``FakeTensorMode``: tensors without numbers, so that networks of any size
cost nothing, and code that waits for a number of the GPU (``.item()``, ``nonzero``) fails.

``numbers_on_gpu`` keeps the numbers: a tensor says that it is on ``cuda:0``, and the CPU computes it.
So whole predictors run, with their NMS and their shapes that depend on data, and give its bits. It
refuses what CUDA refuses: operands on two devices, and numpy.
"""

from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CUDA = torch.device("cuda", 0)
_ops = torch.ops.aten
_TRANSFERS = {_ops._to_copy.default, _ops.copy_.default}
_INDEXING = {
    _ops.index.Tensor,
    _ops.index_put.default,
    _ops.index_put_.default,
    _ops._index_put_impl_.default,
    _ops._unsafe_index.Tensor,
}
_WAITS = {_ops._local_scalar_dense.default, _ops.nonzero.default, _ops.masked_select.default}


class GpuGenerator(torch.Generator):
    """A generator that says that it is on the GPU."""

    @property
    def device(self):
        return CUDA


class GpuTensor(torch.Tensor):
    """A tensor on ``cuda:0`` whose numbers ``elem`` holds on the CPU."""

    elem: torch.Tensor

    @staticmethod
    def __new__(cls, elem):
        new = torch.Tensor._make_wrapper_subclass(
            cls,
            elem.size(),
            strides=elem.stride(),
            storage_offset=elem.storage_offset(),
            dtype=elem.dtype,
            device=CUDA,
        )
        new.elem = elem
        return new

    def __repr__(self):
        return f"GpuTensor({self.elem})"

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, *, force=False):
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")

    def __array__(self, *_):
        return self.numpy()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, [])


class NumbersOnGpu(TorchDispatchMode):
    """Runs every operation on tensors of ``cuda:0`` on the CPU.

    ``reads`` lists the operations that made the host wait for the GPU.
    """

    def __init__(self):
        super().__init__()
        self.reads = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, self.reads)


def _run(func, args, kwargs, reads):
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
    there = [t for t in tensors if isinstance(t, GpuTensor)]
    here = [t for t in tensors if not isinstance(t, GpuTensor) and t.dim()]
    allowed = func in _TRANSFERS or (func in _INDEXING and isinstance(args[0], GpuTensor))
    if there and here and not allowed:
        raise RuntimeError(f"{func}: Expected all tensors to be on the same device, got cuda:0 and cpu")
    device = kwargs.get("device")
    on_gpu = bool(there) if device is None else torch.device(device).type == "cuda"
    if func is _ops.copy_.default:
        on_gpu = isinstance(args[0], GpuTensor)
    if there and (func in _WAITS or (func in _TRANSFERS and not on_gpu)):
        reads.append(str(func))
    if on_gpu and device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    a, k = tree_map(lambda x: x.elem if isinstance(x, GpuTensor) else x, (args, kwargs))
    out = func(*a, **k)
    if func is _ops.copy_.default:
        return args[0]
    same = {id(t.elem): t for t in there}  # an operation in place returns its operand

    def wrapped(x):
        if not isinstance(x, torch.Tensor):
            return x
        if id(x) in same:
            return same[id(x)]
        return GpuTensor(x) if on_gpu else x

    return tree_map(wrapped, out)


@contextmanager
def _gpu_of_torch(bf16):
    """torch.cuda, as if there were one GPU."""
    with ExitStack() as stack:
        for name, answer in {
            "is_available": True,
            "_lazy_init": None,
            "current_device": 0,
            "device_count": 1,
            "is_bf16_supported": bf16,
            "set_rng_state": None,
            "get_rng_state": torch.zeros(16, dtype=torch.uint8),
        }.items():
            stack.enter_context(patch.object(torch.cuda, name, lambda *_, __a=answer, **k: __a))
        torch._C._ensureCUDADeviceGuardSet()  # torch's C++ then asks no driver
        before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor then copies to the GPU as others do
        stack.callback(torch._C._set_only_lift_cpu_tensors, before)
        yield


@contextmanager
def shapes_on_gpu(bf16=True):
    """Tensors have shapes only; those of the CPU can be used as well."""
    no_driver = patch.object(FakeTensorMode, "avoid_device_init", True)
    with _gpu_of_torch(bf16), no_driver, FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


@contextmanager
def numbers_on_gpu(bf16=False):
    """Tensors of the GPU have numbers; without gradients, and without kernels that only GPUs have."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # Module.to makes new parameters
    try:
        with ExitStack() as stack:
            for context in (
                _gpu_of_torch(bf16),
                torch.backends.cudnn.flags(enabled=False),
                sdpa_kernel(SDPBackend.MATH),
                # it would hand whole composite operations, such as Tensor.to, to the mode
                patch.object(torch.inference_mode, "__enter__", lambda _: None),
                patch.object(torch.inference_mode, "__exit__", lambda *_: None),
                torch.no_grad(),
            ):
                stack.enter_context(context)
            yield stack.enter_context(NumbersOnGpu())
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


def to_gpu(module):
    """Move parameters and buffers to the GPU one by one; ``Module.to`` would swap fake tensors."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None and value.device.type == "cpu":
                part._parameters[name] = torch.nn.Parameter(
                    value.detach().to(CUDA), value.requires_grad
                )
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = value.to(CUDA)
    return module
