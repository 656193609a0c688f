"""The post-processing variants that Tables 1, 2 and 4 compare, by the paper's names."""

from fashion_ops.methods.centernet.postprocess_file import FILE, read_postprocess
from fashion_ops.params import PostProcess
from papers.config import TableConfig

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


def load_postprocess(config: TableConfig) -> tuple[PostProcess, str]:
    """The parameters of the techniques, and a sentence on where they come from.

    The step ``tune_postprocess`` chose them if it was run; otherwise they are the paper's.
    """
    folder = config.ws.postprocess
    if (folder / FILE).is_file():
        post, source = read_postprocess(folder), "chosen by `tune_postprocess` on the same split"
    else:
        post, source = PostProcess(), "the paper's for Hourglass-768"
    numbers = f"alpha {post.alpha:g}, sigma {post.sigma_center:g} and {post.sigma_landmark:g}"
    return post, f"Parameters of the techniques: {numbers}, gamma {post.gamma:g}; {source}."


def combined(post: PostProcess) -> PostProcess:
    """All four techniques and NMS on a single view of the image: the last row of Table 2."""
    return _with(post, ALL_TECHNIQUES | {"nms": "hard"})


def single_techniques(post: PostProcess) -> dict[str, PostProcess]:
    """The rows of Table 2: each technique alone, and all together."""
    variants = {"baseline": _with(post, {}), "NMS": _with(post, {"nms": "hard"})}
    variants |= {name: _with(post, switch) for name, switch in TECHNIQUES.items()}
    return variants | {"combined": combined(post)}


def cumulative(post: PostProcess) -> dict[str, PostProcess]:
    """The rows of Table 4 before PoseFix: each adds something to the row before."""
    additions = {
        "baseline": {},
        "+ post-processing": ALL_TECHNIQUES,
        "+ NMS": {"nms": "hard"},
        "+ flip": {"flip": True},
        "+ multi-scale": {"scales": MULTI_SCALE},
    }
    variants, switches = {}, {}
    for name, addition in additions.items():
        switches = switches | addition
        variants[name] = _with(post, switches)
    return variants


def _with(post: PostProcess, switches: dict) -> PostProcess:
    """The parameters of ``post`` with everything switched off except ``switches``."""
    off = BASELINE.model_dump(include={*OFF, "flip", "scales"})
    return PostProcess.model_validate(post.model_dump() | off | switches)
