"""How the airline's demo ends: what went over HTTP, one customer's journey, and whether it paid."""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl
from rich.console import Console

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import SILENCE
from decisioning.explanation.plain_words import plain_reason
from decisioning.record.document import decision_from_record
from features.history import History
from features.log.event_log import EventLog
from features.settings import Settings
from pipelines.demo.airline.airline_report import SERVED, print_invitation, print_journey, print_numbers, print_worth
from pipelines.demo.airline.rehearsal import CAMPAIGN, Rehearsal
from pipelines.demo.airline.rivals import CONSTANT_NAME, Rivals
from pipelines.demo.airline.story import told
from pipelines.demo.log_reader import read_now
from pipelines.options import progress_bar
from pipelines.simulation.contest.comparison import SILENCE_NAME, ContestComparison, compare_plays
from pipelines.simulation.contest.judge import Recount, judge
from pipelines.simulation.contest.play import Played

HOLDOUT = "holdout"
CENTS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Everything that the closing report needs."""

    console: Console
    settings: Settings
    catalogue: Catalogue
    rehearsal: Rehearsal
    rivals: Rivals
    seed: int
    emphasis: float
    began_at: datetime

    def tell(self, redis_url: str) -> None:
        """Tell everything.

        Raises:
            UnavailableError: The server or Redis is away.
        """
        rehearsal, board = self.rehearsal, self.rehearsal.board
        print_numbers(self.console, board, rehearsal.traffic, rehearsal.screen.stages)
        self._tell_journey()
        readout = read_now(self.settings, redis_url, HOLDOUT, board.now)
        print_worth(self.console, board, readout.verdict, self._comparison(), emphasis=self.emphasis)
        print_invitation(self.console, str(rehearsal.traffic.client.base_url), rehearsal.clock_path)

    def _tell_journey(self) -> None:
        journeys, purse = self.rehearsal.journeys, self.rehearsal.board.purse
        customer_id = journeys.most_telling()
        place = self.rehearsal.world.population.ids.index(customer_id)
        print_journey(
            self.console,
            customer_id,
            told(journeys.entries[customer_id], self._explanation),
            here=purse.here[place] / CENTS,
            alone=purse.alone[place] / CENTS,
        )

    def _explanation(self, decision_id: str) -> str:
        """Why a decision came out as it did, from the record that the running server holds of it."""
        record = self.rehearsal.traffic.client.get(f"/v1/decisions/{decision_id}").raise_for_status().json()
        return plain_reason(decision_from_record(record), self.catalogue.currency)

    def _comparison(self) -> ContestComparison:
        """The engine as it was served beside all rivals; waits for those that still play."""
        plays = {SERVED: self._served(), SILENCE_NAME: self._silence()}
        with progress_bar() as bar:
            task = bar.add_task("the same weeks under other policies", total=len(self.rivals.playing))
            for name, played in self.rivals.results():
                plays[name] = played
                bar.advance(task)
        best = next(iter(plays[CONSTANT_NAME].messages), SILENCE)
        return compare_plays(
            plays,
            seed=self.seed,
            weeks=self.rehearsal.board.weeks,
            bound_minor=float("nan"),
            notes={CONSTANT_NAME: best},
        )

    def _silence(self) -> Played:
        alone = self.rehearsal.board.purse.alone
        nothing = Recount(contacts=0, violations={})
        return Played(gain_minor=alone, expected_minor=np.zeros_like(alone), messages={}, verdict=nothing)

    def _served(self) -> Played:
        """What came of the campaign's decisions that the server made, with the judge's recount of its log.

        Contacts that came with the imported history are in the log and not in the server's books of contacts: they are
        no part of the recount.
        """
        purse = self.rehearsal.board.purse
        log = History.from_log(EventLog(self.settings.log_path))
        is_own = pl.col("is_held_out").is_not_null()  # empty where the engine did not decide
        campaign = replace(log, decisions=log.decisions.filter(is_own & (pl.col("touchpoint") == CAMPAIGN)))
        return Played(
            gain_minor=purse.here,
            expected_minor=purse.expected,
            messages=dict(self.rehearsal.marketing),
            verdict=judge(self.catalogue, campaign, since=self.began_at),
        )
