"""What campaigns and protocols share as documents: frozen, unknown keys refused, errors of one line."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from perfport.errors import UsageError
from perfport.space.messages import one_line

__all__ = ["Document"]


class Document(BaseModel):
    """A part of a YAML file; raises UsageError, one line with the nearest known key, where pydantic would raise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # the type checker keeps the signature that follows from the fields

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                kind = type(self).__name__
                raise UsageError(one_line(error, type(self).model_fields), kind=kind, fields=fields) from None
