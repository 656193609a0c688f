"""A file read batch by batch holds what ``json`` reads at once, and what is no JSON is refused."""

import gzip
import json

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_ops.catalog.sources.base import parse_json
from fashion_ops.evaluation import json_reader, quick_records
from fashion_ops.evaluation.json_reader import NotStreamed
from fashion_ops.evaluation.json_spans import list_spans
from fashion_ops.evaluation.json_stream import (
    stream_list,
    stream_object,
    stream_span,
)

TEXTS = st.sampled_from(
    ["", "a", '"', "\\", "}, {", "], [", '\\"}', "\x00", "ä", "\ud83d\ude00", "\\u007b"]
)
NUMBERS = st.sampled_from([0, -1, 1.5, 1e300, 2**63, 2**64, float("inf"), True, False, None])
VALUES = st.recursive(
    TEXTS | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)
LISTS = st.lists(VALUES, max_size=12)
LAYOUTS = st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}])
BLOCKS = st.sampled_from([1, 2, 7, 40, 1 << 17])
SAMPLE = json.dumps(
    [{"a": "}, {", "b": [1, {"c": "\\"}]}, {"a": 0.5}, {}, [], "x", {"d": None}, 3]
).encode()


@pytest.fixture
def block(monkeypatch):
    return lambda size: monkeypatch.setattr(json_reader, "_BLOCK", size)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("json") / "x.json"


def elements(batches):
    return [value for batch in batches for value in batch.values]


def streamed(path):
    """The list in a file; None where it is not streamed."""
    try:
        return elements(stream_list(path, parse_json))
    except NotStreamed:
        return None


def whole(data):
    """The list that the bytes are; None where they are none."""
    try:
        value = parse_json(data)
    except Exception:
        return None
    return value if isinstance(value, list) else None


@settings(max_examples=60, deadline=None)
@given(LISTS, LAYOUTS, BLOCKS)
def test_a_list_is_read_as_json_reads_it(path, values, layout, size):
    text = json.dumps(values, **layout).encode("utf-8", "surrogatepass")
    path.write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_reader, "_BLOCK", size)
        assert repr(streamed(path)) == repr(parse_json(text))
        for span_size in (10, 60):
            try:
                spans = list_spans(path, span_size)
                found = [v for s in spans for v in elements(stream_span(path, s, parse_json))]
            except NotStreamed:
                continue
            assert not spans or repr(found) == repr(parse_json(text))


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(TEXTS, VALUES | LISTS, max_size=5), LAYOUTS, BLOCKS)
def test_an_object_is_read_as_json_reads_it(path, values, layout, size):
    text = json.dumps(values, **layout).encode("utf-8", "surrogatepass")
    path.write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_reader, "_BLOCK", size)
        found = {
            key: elements(value) if hasattr(value, "__next__") else value
            for key, value in stream_object(path, parse_json)
        }
    assert repr(found) == repr(parse_json(text))


@pytest.mark.parametrize("size", [1, 30, 1 << 17])
def test_a_changed_byte_is_refused_wherever_json_refuses_it(path, block, size):
    block(size)
    faults = 0
    for n in range(len(SAMPLE) + 1):
        for changed in (
            SAMPLE[:n],
            SAMPLE[:n] + SAMPLE[n + 1 :],
            *(SAMPLE[:n] + c + SAMPLE[n:] for c in (b",", b"}", b"]", b"{", b'"', b" ", b"0")),
        ):
            path.write_bytes(changed)
            expected = whole(changed)
            assert streamed(path) == expected, changed
            faults += expected is None
    assert faults > 500


@pytest.mark.parametrize("size", [5, 1 << 17])
def test_gzip_and_a_byte_order_mark_change_nothing(path, block, size):
    block(size)
    for data in (
        b"\xef\xbb\xbf" + SAMPLE,
        gzip.compress(SAMPLE),
        gzip.compress(b"\xef\xbb\xbf" + SAMPLE),
    ):
        path.write_bytes(data)
        assert streamed(path) == whole(SAMPLE)
    for data in (
        gzip.compress(SAMPLE)[:-9],
        gzip.compress(SAMPLE) + b"x",
        SAMPLE.decode().encode("utf-16"),
    ):
        path.write_bytes(data)
        assert streamed(path) is None


def test_spans_cover_a_list_of_records_once(path):
    records = [{"id": n, "keypoints": [n + 0.25] * 9} for n in range(400)]
    path.write_text(json.dumps(records, indent=1))
    spans = list_spans(path, 2000)
    assert len(spans) > 20 and spans == sorted(spans)
    assert [v for s in spans for v in elements(stream_span(path, s, parse_json))] == records
    path.write_text(json.dumps({"images": records}))
    assert list_spans(path, 2000) == []
    assert list_spans(path.with_name("none.json"), 2000) == []


def test_a_cut_within_a_text_is_noticed(path):
    records = [{"note": "}, {" * 50, "id": n} for n in range(50)]
    path.write_text(json.dumps(records))
    with pytest.raises(NotStreamed):
        for span in list_spans(path, 1000):
            elements(stream_span(path, span, parse_json))
    assert streamed(path) == records


def loaded(text, load):
    """What a parser makes of bytes; None where it refuses them."""
    try:
        return load(text)
    except ValueError:
        return None


def test_keypoints_become_an_array_only_where_orjson_reads_so_many_numbers(monkeypatch):
    pytest.importorskip("simdjson")
    monkeypatch.setattr(quick_records, "_WIDTH", 3)
    arrays = 0
    for sample in (
        [{"keypoints": [1, 2.5, -0.0], "bbox": [7]}, {"keypoints": [0.1, 1e300, 5e-324], "a": {}}],
        [{"keypoints": [1.5, True, 3]}, {"keypoints": [1, [2], 3]}, {"keypoints": [[1], [2], [3]]}],
        [{"keypoints": "abc", "b": "["}, {"keypoints": 3}, {"keypoints": None}, {"keypoints": {}}],
        [{"keypoints": [1, 2**64, 3]}, 7, [{"keypoints": [1, 2, 3]}]],
    ):
        text = json.dumps(sample).encode()
        for n in range(len(text) + 1):
            for more in (b"", b",", b"]", b"[", b"}", b'"', b"0", b'"keypoints": [1, 2, 3],'):
                changed = text[:n] + more + text[n:]
                found, expected = (
                    loaded(changed, f) for f in (quick_records.quick_records, orjson.loads)
                )
                assert found is None or isinstance(expected, list), changed
                for got, right in zip(found or (), expected if found else (), strict=True):
                    keypoints = got.get("keypoints") if isinstance(got, dict) else None
                    if isinstance(keypoints, np.ndarray):
                        arrays += 1
                        assert {type(v) for v in right["keypoints"]} <= {int, float}
                        assert keypoints.tolist() == right["keypoints"]
                        got = got | {"keypoints": right["keypoints"]}
                    assert repr(got) == repr(right)
    assert arrays > 300
