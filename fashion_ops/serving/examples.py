"""What OpenAPI says about ``POST /v1/garments``: bodies, answers and examples."""

from typing import Any

from fashion_ops.serving.requests import PhotosRequest

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


_FORM = {
    "schema": {
        "type": "object",
        "required": ["photos"],
        "properties": {
            "photos": {"type": "array", "items": {"type": "string", "format": "binary"}},
            "min_score": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.3},
        },
    }
}
GARMENTS_DOC: dict[str, Any] = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": _FORM,
                "application/json": {
                    "schema": PhotosRequest.model_json_schema(),
                    "example": {"photos": [_PIXEL], "min_score": 0.3},
                },
            },
        }
    },
    "responses": {
        200: {
            "description": "The garments of each photo, or why a photo failed.",
            "content": {"application/json": {"example": _ANSWER}},
        },
        400: _refusal("The body is invalid.", "body", "photos must be one or more files"),
        401: _refusal("No token, or another.", "unauthorized", "send the header Authorization"),
        413: _refusal(
            "The body or a request is too large.",
            "too_many_photos",
            "17 photos, at most 16 in a request",
        ),
        415: _refusal("Another media type.", "media_type", "the body must be multipart/form-data"),
        429: _refusal("Too much is waiting.", "busy", "the service is busy; try again in a second"),
        503: _refusal("No model yet, or no answer in time.", "no_model", "try again later"),
    },
}
