"""What both APIs share: text parts, search options, the project's own fields under `aag`, and the list of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


def _whole(value: Any) -> Any:
    """JSON knows no integers: 3.0 is one too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# The bound stands before the conversion, or the description would lose it.
Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Domains = Annotated[list[Annotated[str, Field(min_length=1, max_length=253)]], Field(max_length=50)]
ContextSize = Literal["low", "medium", "high"]
UNSUPPORTED = "unsupported"


@dataclass(frozen=True, eq=False)  # 0 equals False, and typing would take one such annotation for the other
class Neutral:
    """A parameter that is not supported. It may be sent with a value that asks for nothing, as some clients always do."""

    values: tuple[Any, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"enum": [None, *self.values]}

    def _checked(self, value: Any) -> Any:
        if value is None or any(type(value) is type(each) and value == each for each in self.values):
            return value
        raise PydanticCustomError(UNSUPPORTED, "not supported")


Null = Annotated[Any, Neutral()]
NoList = Annotated[Any, Neutral(([],))]
NoMap = Annotated[Any, Neutral(({},))]
NoTool = Annotated[Any, Neutral(("none", "auto"))]
No = Annotated[Any, Neutral((False,))]
Zero = Annotated[Any, Neutral((0,))]
TextOnly = Annotated[Any, Neutral((["text"],))]
# What of the budget's pages a client asks for by a word of OpenAI's.
PAGES_SHARE: dict[ContextSize, float] = {"low": 0.5, "medium": 1.0, "high": 1.0}


class Asked(BaseModel):
    """A part of a request. Unknown parameters are refused, and values are taken as they are, never converted."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Sent(BaseModel):
    """A part of a request that clients send back as they got it, so that unknown fields in it say nothing."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Approximate(Sent):
    """A place. It is accepted and changes nothing; `aag.ignored` says so."""

    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class AagOptions(Asked):
    """The project's own wishes, under `aag`: less time, pages or tokens than allowed, and where and how fresh to search."""

    seconds: Annotated[float, Field(gt=0)] | None = None
    pages: Count | None = None
    tokens: Count | None = None
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")] | None = None
    freshness: Literal["day", "week", "month", "year"] | None = None
    include_domains: Domains | None = None
    exclude_domains: Domains | None = None


class ModelRow(BaseModel):
    """One mode, as a model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelRow]


class Health(BaseModel):
    """What the gateway does at the moment."""

    status: Literal["ok"] = "ok"
    in_flight: int
    waiting: int
    modes: list[str]


Extra = Annotated[
    dict[str, Any],
    Field(description="provenance, sources, checked citations with offsets, memory, timings; see the README"),
]
