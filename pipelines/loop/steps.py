"""The steps of the loop: what each reads, and what it does with the functions that the single commands call.

A step is done again only where what it reads has changed. Each may be killed at any point: importing, building and
materialising may be repeated, a model that was registered is found by what it learned from, a refusal that was written
is found in the ledger, and a promotion that was cut short is finished.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InsufficientDataError, InvalidInputError
from features.catalogue import load_catalogue
from features.clock import Clock
from features.computing.feature_set import feature_schema
from features.models.registry import Registered, find_champion, registry_is_made
from features.progress import OnProgress
from features.settings import Settings
from pipelines.loop.inputs import LoopInputs, inputs_in, log_versions
from pipelines.loop.record import RunRecord, StepFacts, StepName, StepRecord, StepStatus
from pipelines.server.embedded_redis import redis_for

_CUT_SHORT = {StepStatus.RUNNING, StepStatus.FAILED}


@dataclass(slots=True, kw_only=True)
class RunWork:
    """What the steps of one run share.

    Attributes:
        run: As far as it has come.
        standing: What each step did last, whichever run it was in.
        inputs: What there is to look at; looked at again after the import.
        by: The account that promotes.
    """

    settings: Settings
    run: RunRecord
    standing: Mapping[str, StepRecord]
    inputs: LoopInputs
    now: Clock
    by: str

    @property
    def data(self) -> Path | None:
        """Folder to import."""
        return None if self.run.data is None else Path(self.run.data)

    def catalogue(self) -> Catalogue:
        """The catalogue in force."""
        return load_catalogue(self.settings.catalogue_path)

    def look_again(self) -> None:
        """Take note of what there is to look at after the import."""
        self.inputs = inputs_in(self.settings, None).with_data(self.inputs.data)

    def facts(self, name: StepName) -> StepFacts:
        """What a step of this run produced."""
        record = self.run.steps.get(name)
        return {} if record is None else record.facts

    def text(self, name: StepName, fact: str) -> str | None:
        """A fact that is a text; None where there is none."""
        found = self.facts(name).get(fact)
        return None if found is None else str(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a step did."""

    status: StepStatus = StepStatus.DONE
    words: str
    facts: StepFacts = field(default_factory=dict[str, object])


def _always(_work: RunWork, _standing: StepRecord) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStep:
    """One step.

    Attributes:
        title: What it does, for a person who waits.
        reads: Everything that it depends on, as plain values.
        does: Does it.
        stands: Whether what it did before is still there.
    """

    name: StepName
    title: str
    reads: Callable[[RunWork], Mapping[str, object]]
    does: Callable[[RunWork, OnProgress], Result]
    stands: Callable[[RunWork, StepRecord], bool] = _always


def _import_reads(work: RunWork) -> Mapping[str, object]:
    return {"data": work.inputs.data, "erased": work.inputs.erased, "most_unknown": work.run.most_unknown}


def _import(work: RunWork, tell: OnProgress) -> Result:
    if work.data is None:
        return Result(status=StepStatus.SAME, words="no folder was named; the log has what the server wrote")
    from features.importing.folder import import_folder

    report = import_folder(work.data, work.settings, tell, now=work.run.began_at, most_unmatched=work.run.most_unknown)
    work.look_again()
    inserted = {table.table: table.inserted for table in report.tables}
    facts = {"inserted": inserted, "rejected": report.rejected, "tables": _table_ids(work.settings)}
    if report.rejects_path is not None:
        facts["rejects"] = str(report.rejects_path)
    if report.catalogue_version is not None:
        facts["catalogue"] = report.catalogue_version
    words = f"{sum(inserted.values()):,} rows inserted" + (f", {report.rejected:,} rejected" if report.rejected else "")
    return Result(words=words, facts=facts)


def _is_imported(work: RunWork, standing: StepRecord) -> bool:
    """Whether the tables that were imported into are still the ones there are."""
    return work.data is None or standing.facts.get("tables") == _table_ids(work.settings)


def _table_ids(settings: Settings) -> dict[str, str]:
    return {name: version.partition("@")[0] for name, version in log_versions(settings).items()}


def _features_reads(work: RunWork) -> Mapping[str, object]:
    return {"log": work.inputs.log, "catalogue": work.inputs.catalogue, "moment": work.run.moment}


def _features(work: RunWork, tell: OnProgress) -> Result:
    from features.store.builder import build_features
    from features.store.feast_repository import apply
    from features.store.feature_history import current_generation

    catalogue = work.catalogue()
    built = current_generation(work.settings)
    if _was_cut_short(work, StepName.FEATURES) and built is not None and built.as_of == work.run.moment:
        apply(work.settings, catalogue)
        return Result(words="built before the run was cut short", facts={"generation": built.number})
    report = build_features(work.settings, catalogue, work.run.moment, tell)
    words = f"{report.features} features, {report.rows_built:,} rows built, {report.rows_kept:,} kept"
    return Result(words=words, facts={"generation": report.generation, "rows_built": report.rows_built})


def _is_built(work: RunWork, standing: StepRecord) -> bool:
    from features.store.feature_history import current_generation

    built = current_generation(work.settings)
    if built is None or built.number != standing.facts.get("generation"):
        return False
    return built.fingerprint == feature_schema(work.catalogue()).fingerprint


def _train_reads(work: RunWork) -> Mapping[str, object]:
    generation = work.facts(StepName.FEATURES).get("generation")
    return {**_features_reads(work), "generation": generation}


def _train(work: RunWork, tell: OnProgress) -> Result:
    if work.catalogue().learning is None:
        return Result(status=StepStatus.SAME, words="the catalogue names nothing to learn (`learning`)")
    from training.registry.tracking import TrackedModel
    from training.registry.training_run import train_if_new

    try:
        trained = train_if_new(work.settings, now=work.run.moment, on_progress=tell)
    except InsufficientDataError as error:
        return Result(status=StepStatus.SHORT, words=str(error))
    facts: dict[str, object] = {"version": trained.version, "run_id": trained.run_id}
    if isinstance(trained, TrackedModel):
        is_ours = _was_cut_short(work, StepName.TRAIN) and trained.version != _version_before(work)
        words = f"version {trained.version} learned from the same decisions"
        return Result(status=StepStatus.DONE if is_ours else StepStatus.SAME, words=words, facts=facts)
    facts |= {"decisions": trained.decisions, "left_out": trained.left_out, "notes": list(trained.notes)}
    return Result(words=f"version {trained.version} from {trained.decisions:,} decisions", facts=facts)


def _version_before(work: RunWork) -> object:
    standing = work.standing.get(StepName.TRAIN)
    return None if standing is None else standing.facts.get("version")


def _evaluate_reads(work: RunWork) -> Mapping[str, object]:
    return {"run_id": work.text(StepName.TRAIN, "run_id")}


def _evaluate(work: RunWork, _tell: OnProgress) -> Result:
    run_id = work.text(StepName.TRAIN, "run_id")
    if run_id is None:
        return Result(status=StepStatus.SAME, words="no model to look at")
    from training.registry.promotion_gate import metrics_of
    from training.registry.run_metrics import HELD_BACK, HELD_BACK_GAINS, HELD_BACK_VALUE, surely_below
    from training.registry.tracking import tracking

    with tracking(work.settings) as client:
        metrics = metrics_of(client, run_id)
    judged = {name: value for name, value in metrics.items() if name.startswith(HELD_BACK)}
    if HELD_BACK_VALUE not in judged:
        return Result(words="compared with nothing: too few customers are held back, or no probabilities are logged")
    gains = ", ".join(f"{judged[name]:+,.4g} over {rule}" for rule, name in HELD_BACK_GAINS.items() if name in judged)
    below = surely_below(judged)
    warning = f"; worth less than {below}" if below else ""
    return Result(words=f"{judged[HELD_BACK_VALUE]:,.4g} a decision, {gains}{warning}", facts=judged)


def _gate_reads(work: RunWork) -> Mapping[str, object]:
    candidate = work.text(StepName.TRAIN, "version")
    entry = work.facts(StepName.GATE).get("entry")
    if isinstance(entry, dict) and entry["version"] == candidate:  # passed in this run: the alias may have moved
        former = entry["former"]
    else:
        champion = _champion(work.settings)
        former = None if champion is None else champion.version
    return {"candidate": candidate, "champion": former, "catalogue": work.inputs.catalogue}


def _champion(settings: Settings) -> Registered | None:
    return find_champion(settings) if registry_is_made(settings) else None


def _gate(work: RunWork, _tell: OnProgress) -> Result:
    version = work.text(StepName.TRAIN, "version")
    if version is None:
        return Result(status=StepStatus.SAME, words="no candidate")
    known = _decided_before(work, version)
    if known is not None:
        return known
    from training.registry.promotion import weigh

    try:
        entry = weigh(work.settings, version, now=work.now(), as_of=work.run.moment, by=work.by)
    except (InvalidInputError, InsufficientDataError) as error:
        return Result(status=StepStatus.REFUSED, words=str(error), facts={"version": version})
    return Result(words=entry.reason, facts={"entry": {**asdict(entry), "numbers": dict(entry.numbers)}})


def _decided_before(work: RunWork, version: str) -> Result | None:
    """What is known of a version that the gate need not look at; None where it has to."""
    from training.registry.promotion_ledger import PROMOTED, REFUSED, TAKEN_BACK, read_ledger

    champion = _champion(work.settings)
    former = None if champion is None else champion.version
    if former == version:
        return Result(status=StepStatus.SAME, words=f"version {version} is the champion already")
    about = [one for one in read_ledger(work.settings) if one.version == version]
    if any(one.action == PROMOTED for one in about):
        return Result(
            status=StepStatus.SAME,
            words=f"version {version} was the champion before, and somebody went back from it: it stays away"
            f" unless `nextbest model promote {version}` is run",
        )
    if any(one.action == TAKEN_BACK for one in about):
        return Result(
            status=StepStatus.SAME,
            words=f"version {version} did harm as a canary and was taken back: it stays away unless"
            f" `nextbest model promote {version}` is run",
        )
    refused = [one for one in about if one.action == REFUSED and one.former == former]
    if not refused:
        return None
    is_ours = datetime.fromisoformat(refused[-1].at) >= work.run.began_at
    status = StepStatus.REFUSED if is_ours else StepStatus.SAME
    return Result(status=status, words=refused[-1].reason, facts={"version": version})


def _promote_reads(work: RunWork) -> Mapping[str, object]:
    gate = work.run.steps.get(StepName.GATE)
    has_passed = gate is not None and gate.status is StepStatus.DONE
    return {"entry": work.facts(StepName.GATE).get("entry") if has_passed else None}


def _promote(work: RunWork, _tell: OnProgress) -> Result:
    entry = _promote_reads(work)["entry"]
    if not isinstance(entry, dict):
        return Result(status=StepStatus.SAME, words="nothing new passed the gate")
    from training.registry.promotion import enact
    from training.registry.promotion_ledger import Promotion

    enact(work.settings, Promotion(**entry), is_again=True)
    return Result(
        words=f"version {entry['version']} decides from now on",
        facts={"version": entry["version"], "former": entry["former"]},
    )


def _materialise_reads(work: RunWork) -> Mapping[str, object]:
    generation = work.facts(StepName.FEATURES).get("generation")
    inputs = work.inputs
    return {"log": inputs.log, "catalogue": inputs.catalogue, "erased": inputs.erased, "generation": generation}


def _materialise(work: RunWork, tell: OnProgress) -> Result:
    from features.store.materialisation import materialise

    with redis_for(work.settings) as redis_url:
        report = materialise(work.settings, work.catalogue(), redis_url, progress=tell)
    words = f"{report.feature_records:,} feature records, {report.profiles:,} profiles"
    return Result(words=words, facts={"feature_records": report.feature_records, "profiles": report.profiles})


def _is_in_redis(work: RunWork, _standing: StepRecord) -> bool:
    from features.store.materialisation import is_materialised

    with redis_for(work.settings) as redis_url:
        return is_materialised(work.settings, work.catalogue(), redis_url)


def _was_cut_short(work: RunWork, name: StepName) -> bool:
    """Whether this step was under way, on what it reads now, when the run was killed."""
    record = work.run.steps.get(name)
    return work.run.resumed > 0 and record is not None and record.status in _CUT_SHORT


STEPS = (
    LoopStep(name=StepName.IMPORT, title="import", reads=_import_reads, does=_import, stands=_is_imported),
    LoopStep(name=StepName.FEATURES, title="build features", reads=_features_reads, does=_features, stands=_is_built),
    LoopStep(name=StepName.TRAIN, title="train", reads=_train_reads, does=_train),
    LoopStep(name=StepName.EVALUATE, title="evaluate", reads=_evaluate_reads, does=_evaluate),
    LoopStep(name=StepName.GATE, title="ask the gate", reads=_gate_reads, does=_gate),
    LoopStep(name=StepName.PROMOTE, title="promote", reads=_promote_reads, does=_promote),
    LoopStep(
        name=StepName.MATERIALISE,
        title="materialise",
        reads=_materialise_reads,
        does=_materialise,
        stands=_is_in_redis,
    ),
)
