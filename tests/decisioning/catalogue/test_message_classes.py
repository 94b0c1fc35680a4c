"""The matrix of classes: what no class may bypass, because it protects people."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import (
    BYPASSABLE,
    CLASS_ORDER,
    DEFAULT_CLASSES,
    ClassRules,
    Layer,
    check_classes,
)
from decisioning.errors import InvalidPolicyError
from decisioning.policy import Policy


def matrix(message_class: MessageClass, rules: ClassRules) -> Mapping[MessageClass, ClassRules]:
    return {**DEFAULT_CLASSES, message_class: rules}


def may_bypass(message_class: MessageClass, layer: Layer) -> bool:
    """An independent second statement of the rule."""
    if message_class is MessageClass.MARKETING:
        return False
    if layer is Layer.PROTECTION:
        return message_class is MessageClass.MANDATORY
    if layer is Layer.CONSENT:
        return message_class in (MessageClass.MANDATORY, MessageClass.TRANSACTIONAL)
    return layer in BYPASSABLE


def test_the_default_matrix_is_valid() -> None:
    check_classes(DEFAULT_CLASSES)


@pytest.mark.parametrize("layer", Layer)
@pytest.mark.parametrize("message_class", MessageClass)
def test_a_class_bypasses_only_the_layers_it_may(message_class: MessageClass, layer: Layer) -> None:
    classes = matrix(message_class, ClassRules(bypasses=frozenset({layer})))
    if may_bypass(message_class, layer):
        check_classes(classes)
    else:
        with pytest.raises(InvalidPolicyError, match=f"bypasses of class {message_class} must be .*, got {layer}"):
            check_classes(classes)


def test_marketing_never_has_precedence() -> None:
    with pytest.raises(InvalidPolicyError, match="precedence of class marketing must be false"):
        check_classes(matrix(MessageClass.MARKETING, ClassRules(has_precedence=True)))


def test_a_matrix_without_a_line_for_a_class_is_refused() -> None:
    rest = {name: rules for name, rules in DEFAULT_CLASSES.items() if name is not MessageClass.RECOVERY}
    with pytest.raises(InvalidPolicyError, match="got none for recovery"):
        check_classes(rest)


def test_the_order_of_classes_puts_people_before_sales() -> None:
    assert CLASS_ORDER == ("mandatory", "transactional", "recovery", "service", "marketing")


def test_a_policy_cannot_be_built_on_an_invalid_matrix(plain_catalogue: Catalogue) -> None:
    classes = matrix(MessageClass.SERVICE, ClassRules(bypasses=frozenset({Layer.CONSENT})))
    with pytest.raises(InvalidPolicyError, match="bypasses of class service"):
        Policy(replace(plain_catalogue, classes=classes))


@settings(max_examples=100, deadline=None)
@given(
    bypasses=st.dictionaries(st.sampled_from(MessageClass), st.frozensets(st.sampled_from(Layer))),
    has_precedence=st.booleans(),
)
def test_every_matrix_that_passes_keeps_protection_and_consent(
    bypasses: dict[MessageClass, frozenset[Layer]], has_precedence: bool
) -> None:
    classes = {
        name: ClassRules(bypasses=bypasses.get(name, frozenset()), has_precedence=has_precedence)
        for name in MessageClass
    }
    is_sound = not has_precedence and all(
        may_bypass(name, layer) for name, rules in classes.items() for layer in rules.bypasses
    )
    if is_sound:
        check_classes(classes)
    else:
        with pytest.raises(InvalidPolicyError):
            check_classes(classes)
