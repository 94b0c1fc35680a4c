"""Opens and clicks that machines made: the one rule for features, training, evaluation, KPIs and experiments.

Mail programs fetch pictures before anybody looks, and security scanners follow every link of a message. What a report
says of itself counts on every channel. Timing counts on channels that programs scan (`engagement.scanned_channels`),
and only where it was measured: clocks that tell whole minutes say nothing of seconds.
"""

from enum import StrEnum

import polars as pl

from decisioning.catalogue.measure import CLICKED, ENGAGED, OPENED, Engagement
from features.computing.definition import NEVER_US
from features.log.outcome_types import OutcomeType

RULES_VERSION = 1
"""Raise it whenever the rules tell machines otherwise: features that look at people mean something else then."""

AT_DELIVERY_SECONDS = 5
"""Nobody opens or clicks so soon after delivery."""

BEFORE_OPEN_SECONDS = 30
"""A click so soon after delivery, of a message that nobody opened before, is a scanner's."""

AT_ONCE_SECONDS = 2
"""Different links that are clicked no further apart than this are clicked by a program."""

SWEEP_SECONDS = 10
"""All links of a message, each clicked no later than this after the one before, are clicked by a program."""

JUDGED_EVERY_US = 60_000_000
"""Features judge timing at the end of each minute that reports arrived in: a scanner's burst is one look, not many."""

_FEWEST_ALIKE = 3  # clicks at once, where reports name no links
_FEWEST_LINKS = 3  # links of a message, for all of them to mean something

SAID_BY = (
    "machine", "is_machine", "machine_open", "sg_machine_open", "bot", "is_bot", "prefetched", "apple_privacy_open",
    "hidden_link",
)  # fmt: skip
"""Properties of an outcome that say that a machine made it; `hidden_link` is a link that no person can see."""

_NOT_SAID = ("", "0", "false", "no", "none", "null", "human")
_PREFETCH = "Mozilla/5.0"  # Apple Mail Privacy Protection says no more of itself
_PROGRAMS = (
    r"(?i)\bbot\b|bot[/-]|crawl|spider|scanner|headless|barracuda|proofpoint|mimecast|forcepoint|trend ?micro|symantec|"
    r"safelinks|facebookexternalhit|uripreview|python-|curl/|wget/|go-http-client|libwww"
)


class MachineRule(StrEnum):
    """Why an open or a click is taken for a machine's; the first that fits is named."""

    SAID = "said"
    USER_AGENT = "user_agent"
    AT_DELIVERY = "at_delivery"
    LINKS_AT_ONCE = "links_at_once"
    BEFORE_OPEN = "before_open"
    ALL_LINKS = "all_links"


MACHINE_WORDS = {
    MachineRule.SAID: "by the report itself",
    MachineRule.USER_AGENT: "by the program's name",
    MachineRule.AT_DELIVERY: f"within {AT_DELIVERY_SECONDS} seconds of delivery",
    MachineRule.LINKS_AT_ONCE: f"several links within {AT_ONCE_SECONDS} seconds",
    MachineRule.BEFORE_OPEN: f"clicked unopened within {BEFORE_OPEN_SECONDS} seconds of delivery",
    MachineRule.ALL_LINKS: "all links in one go",
}
"""How each rule tells a machine, for people."""

_TIMING = (MachineRule.AT_DELIVERY, MachineRule.LINKS_AT_ONCE, MachineRule.BEFORE_OPEN, MachineRule.ALL_LINKS)
_SCHEMA = {"outcome_id": pl.String, "customer_id": pl.String, "machine": pl.String}


def machine_made(outcomes: pl.DataFrame, decisions: pl.DataFrame | None, rules: Engagement) -> pl.DataFrame:
    """Opens and clicks that machines made.

    Args:
        outcomes: Canonical outcomes.
        decisions: Canonical decisions, for the channels; None where nobody knows them.
        rules: Which channels are scanned.

    Returns:
        `outcome_id`, `customer_id` and `machine` (a `MachineRule`), one row for each of them.
    """
    engaged = outcomes.filter(pl.col("type").is_in(sorted(ENGAGED)))
    if engaged.is_empty():
        return pl.DataFrame(schema=_SCHEMA)
    timed = _timed(_told(engaged), outcomes, _scanned(decisions, rules))
    rule = pl.coalesce(pl.when(pl.col(one)).then(pl.lit(one.value)) for one in MachineRule)
    found = timed.select("outcome_id", "customer_id", machine=rule).filter(pl.col("machine").is_not_null())
    return found.unique(["outcome_id", "customer_id"], keep="first", maintain_order=True)


def with_machines(outcomes: pl.DataFrame, decisions: pl.DataFrame | None, rules: Engagement) -> pl.DataFrame:
    """Outcomes with `machine` (null where a person made it) and `weight`, what each counts for."""
    found = machine_made(outcomes, decisions, rules)
    joined = outcomes.join(found, on=["outcome_id", "customer_id"], how="left", maintain_order="left")
    is_machine = pl.col("machine").is_not_null()
    return joined.with_columns(weight=pl.when(is_machine).then(rules.machine_weight).otherwise(1.0))


def told_apart(rules: Engagement, on: frozenset[str]) -> tuple[object, ...]:
    """All that a number depends on which tells people from machines on some channels; nothing where both count alike.

    Example:
        >>> told_apart(Engagement(machine_weight=0.5, scanned_channels=frozenset({"email"})), frozenset({"push"}))
        (1, 0.5, ())
    """
    if rules.machine_weight == 1:
        return ()
    return RULES_VERSION, float(rules.machine_weight), tuple(sorted(on & rules.scanned_channels))


def first_by_people(outcomes: pl.DataFrame, decisions: pl.DataFrame, rules: Engagement) -> pl.DataFrame:
    """When people first opened and clicked each message, as far as could be told at any moment.

    What a report says of itself counts at once. Timing needs other reports, which may arrive later, so a message has a
    row for each stretch of time in which its verdicts stand: they are worked out at the ends of minutes from what had
    arrived by then, and what arrived since is a person's so far. Nothing that arrives later changes an earlier stretch.

    Args:
        outcomes: Canonical outcomes, with `known_us`, when each became known.
        decisions: Canonical decisions.
        rules: How machines count; where they count in full, nobody is told apart.

    Returns:
        `decision_id`, `judged_us` and `until_us` (the stretch: later than the first, up to the second),
        `viewed_by_person_us` and `clicked_by_person_us` (`NEVER_US` where nobody did), for messages with any report of
        a view or click.
    """
    engaged = outcomes.filter(pl.col("type").is_in(sorted(ENGAGED)))
    stretches = engaged.select("decision_id", judged_us=pl.lit(0, dtype=pl.Int64)).unique()
    told = _told(engaged).with_columns(is_machine=pl.col(MachineRule.SAID) | pl.col(MachineRule.USER_AGENT))
    if rules.machine_weight == 1:
        told = told.with_columns(is_machine=pl.lit(value=False))
    else:
        stretches = pl.concat([stretches, _judgements(outcomes, told, _scanned(decisions, rules))])
    stretches = stretches.sort("decision_id", "judged_us").with_columns(
        until_us=pl.col("judged_us").shift(-1).over("decision_id").fill_null(NEVER_US)
    )
    by_people = _by_people(stretches, outcomes, told)
    firsts = by_people.group_by("decision_id", "judged_us").agg(
        pl.col("known_us").filter(pl.col("type").is_in(sorted(kinds))).min().alias(name)
        for name, kinds in (("viewed_by_person_us", OPENED), ("clicked_by_person_us", CLICKED))
    )
    return stretches.join(firsts, on=["decision_id", "judged_us"], how="left").with_columns(
        pl.col("viewed_by_person_us", "clicked_by_person_us").fill_null(NEVER_US)
    )


def _judgements(outcomes: pl.DataFrame, told: pl.DataFrame, scanned: pl.DataFrame) -> pl.DataFrame:
    """Moments at which verdicts on timing can change: `decision_id`, `judged_us`.

    Only of messages with two reports so close together that some rule could fit, whatever else is known.
    """
    delivered = outcomes.filter(pl.col("type") == OutcomeType.DELIVERED).select("decision_id", at="occurred_at")
    at, kind = pl.col("occurred_at"), pl.col("type")
    near = told.join(scanned, on="decision_id", how="semi")
    waited = (at - pl.col("at")).dt.total_microseconds()
    soon = near.join(delivered, on="decision_id").filter((waited > 0) & (waited <= BEFORE_OPEN_SECONDS * 1_000_000))
    clicks = near.filter(kind.is_in(sorted(CLICKED))).sort("decision_id", "occurred_at")
    gap = at.diff().over("decision_id").dt.total_microseconds()
    swept = clicks.filter((gap <= SWEEP_SECONDS * 1_000_000).fill_null(value=False))
    suspects = pl.concat([soon.select("decision_id"), swept.select("decision_id")])
    telling = outcomes.filter(kind.is_in([OutcomeType.DELIVERED, *sorted(ENGAGED)]))
    return (
        telling.join(suspects, on="decision_id", how="semi")
        .select("decision_id", judged_us=(pl.col("known_us") // JUDGED_EVERY_US + 1) * JUDGED_EVERY_US)
        .unique(maintain_order=True)
    )


def _by_people(stretches: pl.DataFrame, outcomes: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Views and clicks that stand as people's in each stretch: `decision_id`, `judged_us`, `type`, `known_us`."""
    kept = ("decision_id", "judged_us", "type", "known_us")
    so_far = told.filter(~pl.col("is_machine")).join(stretches, on="decision_id")
    judged = stretches.filter(pl.col("judged_us") > 0).with_row_index("stretch").cast({"stretch": pl.String})
    if judged.is_empty():
        return so_far.select(kept)
    is_known = pl.col("known_us") < pl.col("judged_us")
    looked_at, marks = (  # each stretch as if it were a message of its own
        rows.join(judged.select("stretch", "decision_id", "judged_us"), on="decision_id")
        .filter(is_known)
        .with_columns(decision_id="stretch", message_id="decision_id")
        for rows in (told, outcomes.select("decision_id", "type", "occurred_at", "known_us"))
    )
    timed = _timed(looked_at, marks, judged.select(decision_id="stretch", is_scanned=pl.lit(value=True)))
    people = timed.filter(~pl.any_horizontal("is_machine", *_TIMING)).with_columns(decision_id="message_id")
    return pl.concat([so_far.filter(~is_known).select(kept), people.select(kept)])


def _told(engaged: pl.DataFrame) -> pl.DataFrame:
    """Opens and clicks with what each says of itself."""
    return engaged.with_columns(
        _said().alias(MachineRule.SAID),
        _is_program().alias(MachineRule.USER_AGENT),
        link=pl.coalesce(_property("link"), _property("url")),
        link_count=_property("link_count").cast(pl.Int64, strict=False),
    )


def _property(name: str) -> pl.Expr:
    return pl.col("properties").str.json_path_match(f"$.{name}")


def _said() -> pl.Expr:
    said = (_property(one).str.to_lowercase().is_in(_NOT_SAID).not_() for one in SAID_BY)
    return pl.any_horizontal(one.fill_null(value=False) for one in said)


def _is_program() -> pl.Expr:
    agent = _property("user_agent")
    is_prefetch = pl.col("type").is_in(sorted(OPENED)) & (agent.str.strip_chars() == _PREFETCH)
    return (is_prefetch | agent.str.contains(_PROGRAMS)).fill_null(value=False)


def _scanned(decisions: pl.DataFrame | None, rules: Engagement) -> pl.DataFrame:
    if decisions is None or not rules.scanned_channels:
        return pl.DataFrame(schema={"decision_id": pl.String, "is_scanned": pl.Boolean})
    scanned = decisions.filter(pl.col("channel").is_in(sorted(rules.scanned_channels)))
    return scanned.select("decision_id", is_scanned=pl.lit(value=True)).unique("decision_id")


def _timed(engaged: pl.DataFrame, outcomes: pl.DataFrame, scanned: pl.DataFrame) -> pl.DataFrame:
    """Opens and clicks with the rules of timing, which hold on scanned channels."""
    kind, at = pl.col("type"), pl.col("occurred_at")
    marks = outcomes.join(scanned, on="decision_id", how="semi").group_by("decision_id")
    firsts = marks.agg(
        delivered_at=at.filter(kind == OutcomeType.DELIVERED).min(),
        opened_at=at.filter(kind.is_in(sorted(OPENED))).min(),
    )
    rows = engaged.join(scanned, on="decision_id", how="left").join(firsts, on="decision_id", how="left")
    rows = _clicked_together(_clicked_together(rows, AT_ONCE_SECONDS, "at_once"), SWEEP_SECONDS, "sweep")
    waited = (at - pl.col("delivered_at")).dt.total_microseconds() / 1e6
    is_click, is_soon = kind.is_in(sorted(CLICKED)), waited > 0  # at the same moment: one clock reading was copied
    is_unopened = (pl.col("opened_at") > at).fill_null(value=True)
    links, clicks = pl.col("at_once_links"), pl.col("at_once_clicks")
    is_at_once = (links > 1) | ((links == 0) & (clicks >= _FEWEST_ALIKE))
    is_all = pl.col("sweep_links") >= pl.max_horizontal("link_count", pl.lit(_FEWEST_LINKS))
    tests = {
        MachineRule.AT_DELIVERY: is_soon & (waited <= AT_DELIVERY_SECONDS),
        MachineRule.LINKS_AT_ONCE: is_click & is_at_once & pl.col("at_once_is_measured"),
        MachineRule.BEFORE_OPEN: is_click & is_soon & (waited <= BEFORE_OPEN_SECONDS) & is_unopened,
        MachineRule.ALL_LINKS: is_click & is_all & pl.col("link_count").is_not_null() & pl.col("sweep_is_measured"),
    }
    is_scanned = pl.col("is_scanned").fill_null(value=False)
    return rows.with_columns((is_scanned & test.fill_null(value=False)).alias(name) for name, test in tests.items())


def _clicked_together(rows: pl.DataFrame, seconds: float, name: str) -> pl.DataFrame:
    """Rows with how many links and clicks of the same message were clicked in one go, in `<name>_links` and so on."""
    ordered = rows.sort("decision_id", "type", "occurred_at", "outcome_id")
    gap = pl.col("occurred_at").diff().over("decision_id", "type").dt.total_microseconds() / 1e6
    numbered = ordered.with_columns(
        (gap > seconds).fill_null(value=True).cum_sum().over("decision_id", "type").alias("go")
    )
    of = ("decision_id", "type", "go")
    at = pl.col("occurred_at")
    return numbered.with_columns(
        pl.col("link").drop_nulls().n_unique().over(of).alias(f"{name}_links"),
        pl.len().over(of).alias(f"{name}_clicks"),
        (at != at.dt.truncate("1m")).any().over(of).alias(f"{name}_is_measured"),
    ).drop("go")
