"""The OpenAPI document: derived from the shapes that read requests and write answers."""

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import BaseModel
from rest_framework.permissions import SAFE_METHODS

from uptime.api.shapes import Error, Query

F = TypeVar("F", bound=Callable[..., Any])


def describe(
    name: str,
    summary: str,
    *,
    answer: type[BaseModel] | tuple[OpenApiTypes, str] | None,
    status: int = 200,
    query: type[Query] | None = None,
    body: type[BaseModel] | None = None,
) -> Callable[[F], F]:
    """What a handler takes and gives; `name` is its `operationId`.

    `answer` is a shape, or a plain type with its media type, or nothing.
    """
    shape, media = answer if isinstance(answer, tuple) else (answer, None)
    decorate: Callable[[F], F] = extend_schema(
        operation_id=name,
        summary=summary,
        parameters=_parameters(query) if query else [],
        request=body,
        responses={
            (status, media) if media else status: shape or OpenApiResponse(description="Done."),
            "default": OpenApiResponse(Error, description="Not served; `error` says why."),
        },
    )
    return decorate


class Schema(AutoSchema):
    """Adds what all writes have in common."""

    def get_override_parameters(self) -> list[Any]:
        if self.method in SAFE_METHODS:
            return []
        return [
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="Makes it safe to send this request again for 24 hours.",
            )
        ]


class ShapeExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Pydantic models as components: as requests are read, as answers are written."""

    target_class = "pydantic.BaseModel"
    match_subclasses = True
    priority = 1  # before drf-spectacular's own, which shows answers only

    def get_name(self, auto_schema: AutoSchema, direction: str) -> str:
        name: str = self.target.__name__
        return name

    def get_identity(self, auto_schema: AutoSchema, direction: str) -> str:
        # By name, as models within models are registered: each name is one model.
        return self.get_name(auto_schema, direction)

    def map_serializer(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        schema: dict[str, Any] = self.target.model_json_schema(
            ref_template="#/components/schemas/{model}",
            mode="validation" if direction == "request" else "serialization",
        )
        for name, part in schema.pop("$defs", {}).items():
            component = ResolvedComponent(name, ResolvedComponent.SCHEMA, part, name)  # type: ignore[no-untyped-call]
            auto_schema.registry.register_on_missing(component)
        return schema


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "uptime.api.access.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token <token>`, as `manage.py token` prints it.",
        }


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "uptime.api.access.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "A browser that is signed in; writes send `X-CSRFToken`.",
        }


def _parameters(query: type[Query]) -> list[OpenApiParameter]:
    schema = query.model_json_schema()
    return [
        _parameter(name, _inlined(field, schema.get("$defs", {})))
        for name, field in schema["properties"].items()
    ]


def _parameter(name: str, field: dict[str, Any]) -> OpenApiParameter:
    description = field.pop("description", "")
    field.pop("title", None)
    if field.get("default", "") is None:
        del field["default"]
    is_list = field.get("type") == "array"
    return OpenApiParameter(
        name,
        field,
        OpenApiParameter.QUERY,
        description=description,
        explode=False if is_list else None,
        style="form" if is_list else None,
    )


def _inlined(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Without references, and without the `null` that a parameter can't be."""
    if "$ref" in schema:
        named = definitions[schema["$ref"].rpartition("/")[2]]
        return _inlined({**named, **{k: v for k, v in schema.items() if k != "$ref"}}, definitions)
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if options := [one for one in schema.get("anyOf", []) if one.get("type") != "null"]:
        return {**_inlined(options[0], definitions), **rest}
    if "items" in rest:
        rest["items"] = _inlined(rest["items"], definitions)
    return rest
