"""What OpenAPI says about ``POST /v1/garments`` and ``/v1/sizes``: bodies, answers and examples."""

from typing import Any

from fashion_ops.serving.requests import PhotosRequest, SizesRequest

_PIXEL = (  # a PNG of one pixel, in base64
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_ANSWER: dict[str, Any] = {
    "model": {"name": "garment-landmarks", "version": 3, "engine": "openvino"},
    "photos": [
        {
            "photo": 0,
            "width": 640,
            "height": 480,
            "garments": [
                {
                    "category": "short_sleeve_top",
                    "score": 0.9312,
                    "box": [101.2, 80.5, 420.0, 399.9],
                    "landmarks": {
                        "left_cuff_outer": {"x": 120.3, "y": 220.8, "score": 0.88, "deviation": 2.1}
                    },
                }
            ],
        },
        {"photo": 1, "error": {"code": "photo", "reason": "photo 1: is not base64"}},
    ],
    "seconds": 0.0832,
}


def _refusal(description: str, code: str, reason: str) -> dict[str, Any]:
    example = {"error": {"code": code, "reason": reason}, "request_id": "4b1d"}
    return {"description": description, "content": {"application/json": {"example": example}}}


_SIZES_ANSWER: dict[str, Any] = {
    "model": _ANSWER["model"],
    "photos": [
        {
            "photo": 0,
            "width": 1600,
            "height": 1200,
            "unit": "cm",
            "reference": {"name": "A4 paper", "outline": [[90, 80], [310, 90], [300, 390], [80, 380]]},
            "garments": [
                {
                    "category": "short_sleeve_top",
                    "score": 0.9312,
                    "box": [501.2, 180.5, 1120.0, 999.9],
                    "sizes": {
                        "chest": {
                            "term": "chest width",
                            "unit": "cm",
                            "value": 52.31,
                            "interval_95": [50.62, 54.0],
                            "shown": True,
                            "occluded": [],
                        }
                    },
                }
            ],
        }
    ],
    "seconds": 0.1632,
}
_PHOTO_FIELD = {"type": "array", "items": {"type": "string", "format": "binary"}}


def _doc(
    schema: type[PhotosRequest], example: dict[str, Any], answer: dict[str, Any], what: str
) -> dict[str, Any]:
    """What OpenAPI says about a route: its bodies, with an example, and its answers."""
    json_schema = schema.model_json_schema()
    form = json_schema | {"properties": json_schema["properties"] | {"photos": _PHOTO_FIELD}}
    body = {
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": json_schema, "example": example},
    }
    return {
        "openapi_extra": {"requestBody": {"required": True, "content": body}},
        "responses": {
            200: {"description": what, "content": {"application/json": {"example": answer}}},
            **_REFUSALS,
        },
    }


_REFUSALS = {
    400: _refusal("The body is invalid.", "body", "photos must be one or more files"),
    401: _refusal("No token, or another.", "unauthorized", "send the header Authorization"),
    413: _refusal(
        "The body or a request is too large.", "too_many_photos", "17 photos, at most 16 in a request"
    ),
    415: _refusal("Another media type.", "media_type", "the body must be multipart/form-data"),
    429: _refusal("Too much is waiting.", "busy", "the service is busy; try again in a second"),
    503: _refusal("No model yet, or no answer in time.", "no_model", "try again later"),
}
GARMENTS_DOC = _doc(
    PhotosRequest,
    {"photos": [_PIXEL], "min_score": 0.3},
    _ANSWER,
    "The garments of each photo, or why a photo failed.",
)
SIZES_DOC = _doc(
    SizesRequest,
    {"photos": [_PIXEL], "min_score": 0.3, "reference": "auto"},
    _SIZES_ANSWER,
    "The sizes of the garments of each photo, or why a photo failed.",
)
