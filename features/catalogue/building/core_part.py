"""A part of the core's catalogue from the form that people fill in."""

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, get_origin

from pydantic import BaseModel

from decisioning.rules.predicate import Predicate
from features.catalogue.forms.rule_form import to_predicate

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def core_part[Part: "DataclassInstance"](part: type[Part], form: BaseModel, **told: Any) -> Part:
    """A dataclass of the core with the fields that are told, and of the form every other that has the same name.

    Rules are compiled, lists become sets where the core wants sets, and mappings are sorted by their keys, so that the
    order in a file changes nothing.

    Example:
        >>> from decisioning.catalogue.experiment import Holdout
        >>> from features.catalogue.forms.experiment_form import HoldoutFile
        >>> core_part(Holdout, HoldoutFile(share=0.05, salt="any"), salt="other").salt
        'other'
    """
    same = {one.name: one for one in fields(part) if one.name in type(form).model_fields and one.name not in told}
    return part(**told, **{name: _value(one, getattr(form, name)) for name, one in same.items()})


def _value(field: Field[Any], value: Any) -> Any:
    if field.type is Predicate:
        return to_predicate(value)
    if isinstance(value, Mapping):
        return dict(sorted(value.items()))
    return frozenset(value) if get_origin(field.type) is frozenset else value
