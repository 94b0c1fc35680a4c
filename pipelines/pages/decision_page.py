"""The page docs/decisions.md: one decision that the engine makes, its record, and three explanations of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson

import examples.grocery
from decisioning.customer import Consent, Customer, CustomerId
from decisioning.decision import Decision, Inputs, Request, request_uniform
from decisioning.explanation.explanation import Reader, explain_decision
from decisioning.explanation.nearest_change import nearest_change
from decisioning.explanation.why_not import why_not_then
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_from_record, decision_to_record
from decisioning.scoring import FeatureVector
from features.catalogue import load_catalogue

CATALOGUE = Path(examples.grocery.__file__).parent / "catalogue"
ASKED_ABOUT = ("pantry-coupons", "baby-coupons", "come-back-coupons")
_MOMENT = datetime(2026, 11, 16, 9, tzinfo=UTC)
_FEATURES = {
    "customer_tenure_days": 412.0,
    "purchase_recency_days": 6.0,
    "purchase_count_90d": 11.0,
    "purchase_sum_minor_90d": 48_250.0,
    "complaint_count_90d": 0.0,
}

_PAGE = """<!-- written by `nextbest docs generate`; change pipelines/pages/decision_page.py instead -->

# One decision, explained

Every decision leaves a record: the request, all inputs, the choice with its probability, and the reasons against every
other message. The record alone is enough to explain, replay and audit the decision. This page shows a decision that the
engine made under the catalogue of `examples/grocery`: a household that shops regularly is due for the weekly mail. It
has agreed to e-mail, refused letters, and has no children.

## The explanation for the customer

`GET /v1/decisions/{{id}}/explanation?for=customer` answers in English or German: what was decided, by which logic,
which data mattered and what the customer can do. It contains no figures, and no names except those of offers.

{customer}

The same in German:

{german}

## The explanation for a call agent

The choice and its reason, why other messages were refused, when to try again, and which cases are open.

{agent}

## The explanation for an auditor

Everything, with figures. Amounts are in minor units (cents); if the model learns a rate, values and uplifts are rates.

{auditor}

## Why not something else

`GET /v1/decisions/{{id}}/why-not?offer=...` says where an offer failed, and the smallest change that would have let
it win. A change is called verified only if deciding again with it puts the offer first.

{why_not}

## The record

`GET /v1/decisions/{{id}}` returns it, and the log keeps it. A real record holds every feature; this one holds five.
Where outcomes since training are learned from (`docs/models.md`, learning in minutes), `inputs.residuals` holds what
was known of silence and every candidate at the customer's stage, in the order of `expected_values`: prior deviation,
estimate, standard error, customers and contribution. `evaluated[].residual_minor` is the contribution to an expected
value.

<details>
<summary>The whole record</summary>

```json
{record}
```

</details>

## Is all of it true?

| question | command |
|---|---|
| Does every decision come out again bit for bit, with the policy of its time? | `nextbest replay` |
| Are the probabilities true: recomputed, drawn again, and against what was chosen? | `nextbest policy audit` |
| Is the log what was written: nothing altered, added, lost or moved? | `nextbest log verify` |

Each ends with exit code 1 where the answer is no, and says where. Policies are kept below the home (`catalogues/`) from
the moment they are put in force, so that old decisions can be replayed; a decision of another release is replayed with
that release.

**How tampering shows.** When a decision's row reaches the log, it gets a random record key and a commitment, an HMAC of
the row under that key, and the commitment becomes the next entry of a chain whose hashes are keyed with the server's
audit key (`NEXTBEST_AUDIT_KEY`, else a file of its own below the home). Who can write to the log but has not that key
cannot change, add, remove or move anything unseen. One thing no chain can show by itself: that its newest
entries are gone together with their rows. So note its heads elsewhere, `nextbest log verify --note heads.json`, and
compare later, `nextbest log verify --head heads.json`. Keep the key on another machine than the log if you can: whoever
has both can write the chain anew.

**How erasing fits in.** The chain holds no word about anybody, only commitments, which mean nothing without the record
keys; those stand in the rows. A person is erased by chaining an erasure entry for each of their rows and deleting the
rows. From then on the chain still verifies, and nothing in it leads back to them.

**What the audit can see.** Wrong probabilities and draws that somebody picked are found exactly wherever the policy is
at hand. That fresh draws follow what was logged, and that the choices made follow it too, are tests: an honest log
fails them with a probability of at most 0.1 % (`--false-alarm`), and the report says how large a shift of the choices
made is seen with a power of 90 % or more.
"""


def decision_page() -> str:
    """The text of the page."""
    policy = Policy(load_catalogue(CATALOGUE))
    made = decide(policy, _inputs(policy), "dec_0a7c2f41d9b84e6c8f1b6d20e5a3947c18")
    record = orjson.dumps(decision_to_record(made), option=orjson.OPT_INDENT_2).decode()
    decision = decision_from_record(orjson.loads(record))
    return _PAGE.format(
        customer=_quoted(explain_decision(decision, Reader.CUSTOMER, "en")),
        german=_quoted(explain_decision(decision, Reader.CUSTOMER, "de")),
        agent=_listed(explain_decision(decision, Reader.AGENT)),
        auditor=_listed(explain_decision(decision, Reader.AUDITOR)),
        why_not=_listed([_why_not(policy, decision, offer_id) for offer_id in ASKED_ABOUT]),
        record=record,
    )


def _inputs(policy: Policy) -> Inputs:
    """What is known of a made-up household; the expected values are rates at which coupons are redeemed."""
    request = Request(customer_id="H-2048", touchpoint_id="weekly-mail", request_key="2026-W47")
    answered_at = _MOMENT - timedelta(days=200)
    answers = {("email", "marketing"): True, ("email", "service"): True, ("mail", "marketing"): False}
    keys = [message.key for message in policy.candidates(request.touchpoint_id)]
    rates = np.array([0.004, *(0.012 + 0.001 * (len(key) % 7) for key in keys)])
    return Inputs(
        request=request,
        customer=Customer(
            customer_id=CustomerId(request.customer_id),
            attributes={"kids": 0, "home": "renter"},
            time_zone="America/Chicago",
            locale="en-US",
            reachable_channels=frozenset({"email", "mail"}),
            consents=tuple(
                Consent(
                    channel_id=channel, purpose=purpose, is_granted=answer, recorded_at=answered_at, source="card form"
                )
                for (channel, purpose), answer in answers.items()
            ),
            country="US",
        ),
        features=FeatureVector(
            names=tuple(_FEATURES),
            values=np.array(list(_FEATURES.values())),
            ages_seconds={"purchase": 5_400.0, "service": 5_400.0},
            schema="page",
        ),
        expected_values=rates,
        model_version="12",
        now=_MOMENT,
        uniform=request_uniform(policy.seed, request),
    )


def _why_not(policy: Policy, decision: Decision, offer_id: str) -> str:
    change = nearest_change(policy, decision, offer_id)
    verified = " (verified)" if change.is_verified else ""
    return f"{why_not_then(decision, offer_id).sentence} {change.sentence}{verified}"


def _quoted(sentences: Sequence[str]) -> str:
    return "\n>\n".join(f"> {sentence}" for sentence in sentences)


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
