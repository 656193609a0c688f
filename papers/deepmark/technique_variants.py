"""The ways of reading the maps that Tables 1, 2 and 4 compare, by the paper's names."""

from fashion_ops.methods.centernet.postprocess_file import FILE, read_postprocess
from fashion_ops.params import PostProcess
from papers.config import Request

OFF = {"smooth": False, "mask": False, "blend": False, "rescore": False, "nms": "none"}
BASELINE = PostProcess.model_validate({**OFF, "flip": False, "scales": ()})
TECHNIQUES = {
    "technique 1": {"rescore": True},
    "technique 2": {"smooth": True},
    "technique 3": {"blend": True},
    "technique 4": {"mask": True},
}
ALL_TECHNIQUES = {"smooth": True, "mask": True, "blend": True, "rescore": True}
MULTI_SCALE = (0.85, 0.95, 1.1)


def parameters(request: Request) -> tuple[PostProcess, str]:
    """The parameters of the techniques, and where they come from.

    ``tune_postprocess``'s choice where it was made, the paper's values otherwise.
    """
    folder = request.ws.postprocess
    if (folder / FILE).is_file():
        post, source = read_postprocess(folder), "chosen by `tune_postprocess` on the same split"
    else:
        post, source = PostProcess(), "the paper's for Hourglass-768"
    numbers = f"alpha {post.alpha:g}, sigma {post.sigma_center:g} and {post.sigma_landmark:g}"
    return post, f"Parameters of the techniques: {numbers}, gamma {post.gamma:g}; {source}."


def combined(post: PostProcess) -> PostProcess:
    """All four techniques and NMS, one look at the image: the last line of Table 2."""
    return _with(post, ALL_TECHNIQUES | {"nms": "hard"})


def alone(post: PostProcess) -> dict[str, PostProcess]:
    """The rows of Table 2."""
    ways = {"baseline": _with(post, {}), "NMS": _with(post, {"nms": "hard"})}
    ways |= {name: _with(post, switch) for name, switch in TECHNIQUES.items()}
    return ways | {"combined": combined(post)}


def cumulative(post: PostProcess) -> dict[str, PostProcess]:
    """The rows of Table 4 up to PoseFix: each adds to the one before."""
    steps = {
        "baseline": {},
        "+ post-processing": ALL_TECHNIQUES,
        "+ NMS": {"nms": "hard"},
        "+ flip": {"flip": True},
        "+ multi-scale": {"scales": MULTI_SCALE},
    }
    ways, switches = {}, {}
    for name, step in steps.items():
        switches = switches | step
        ways[name] = _with(post, switches)
    return ways


def _with(post: PostProcess, switches: dict) -> PostProcess:
    """``post``'s parameters with everything off but ``switches``."""
    off = BASELINE.model_dump(include={*OFF, "flip", "scales"})
    return PostProcess.model_validate(post.model_dump() | off | switches)
