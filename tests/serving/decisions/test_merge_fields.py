"""No customer gets a text with a missing value, or with "3.0 items": decided over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

BASKET = """
basket:
  goal: care
  kind: information
  class: service
  value: 30.00
  creatives:
    - creative: plain
      channel: push
      REQUIRES
      content:
        headline: "{{ customer.first_name }}, {{ context.basket_value }} items"
        body: "{{ customer.points | default: 'No' }} points"
"""
KNOWN = {"age": 40, "first_name": "Ada", "points": 7.0}


def basket(requires: str = "") -> str:
    return BASKET.replace("      REQUIRES\n", requires and f"      requires: [{requires}]\n")


def ask(client: TestClient, customer_id: str, **context: float) -> tuple[dict[str, str] | None, dict[str, Any]]:
    body = {"customer_id": customer_id, "touchpoint": "app-home", "context": context, "explain": True}
    answer = client.post("/v1/decisions", json=body).json()
    refused = {one["message"]: one for one in answer["explanation"]["excluded"]}
    chosen = answer["selected"]
    return (chosen["content"] if chosen and chosen["offer_id"] == "basket" else None), refused


def test_a_customer_without_the_name_gets_another_message_and_the_answer_says_why(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Any]
) -> None:
    client = serve(offers=basket())
    named = store.put(new_customer("C-1", attributes=KNOWN))
    nameless = store.put(new_customer("C-2", attributes={"age": 40, "first_name": " ", "points": 7.0}))

    assert ask(client, named, basket_value=3)[0] == {"headline": "Ada, 3 items", "body": "7 points"}
    for customer_id, context, field in (
        (nameless, {"basket_value": 3}, "customer.first_name"),
        (named, {}, "context.basket_value"),
    ):
        content, refused = ask(client, customer_id, **context)
        assert content is None
        assert refused["basket/push/plain"]["reasons"] == ["CREATIVE_UNFIT"]
        assert f"{field} is missing" in refused["basket/push/plain"]["because"][0]


@pytest.mark.parametrize("field", ["customer.city", "context.basket_value"])
def test_a_creative_whose_required_field_is_missing_is_refused(
    serve: Callable[..., TestClient], store: Any, new_customer: Callable[..., Any], field: str
) -> None:
    client = serve(offers=basket(requires="customer.city, context.basket_value"))
    root, _, name = field.partition(".")
    attributes = {**KNOWN, "city": "Bonn"}
    context = {"basket_value": 3}
    if root == "customer":
        del attributes[name]
    else:
        del context[name]

    content, refused = ask(client, store.put(new_customer("C-1", attributes=attributes)), **context)

    assert content is None
    assert f"{field} is missing" in refused["basket/push/plain"]["because"][0]
