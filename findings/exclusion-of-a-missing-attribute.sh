#!/usr/bin/env bash
# "Everyone except those on plan a", for a customer whose plan is not known: six local evaluators, two answers.
# launchdarkly-server-sdk 9.20.0, optimizely-sdk 5.7.0, flagsmith-flag-engine 11.1.1, yggdrasil-engine 2.0.0 (Unleash),
# growthbook 4.0.0, amplitude-experiment 1.13.0.
#
# Guess: a missing attribute is unknown, and all evaluators leave out a customer whose exclusion cannot be checked.
# Seen: LaunchDarkly, Optimizely and Flagsmith's NOT_EQUAL leave the customer out; Unleash, GrowthBook and Amplitude let
# the customer in, and so does Flagsmith when the same rule is written as a NONE group. A customer on plan b is in, and
# one on plan a is out, with all of them.
# For whom it matters: rules carried over from one tool to another, e.g. "not under 18" or "not in an open complaint".
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check launchdarkly-server-sdk==9.20.0 optimizely-sdk==5.7.0 \
  flagsmith-flag-engine==11.1.1 yggdrasil-engine==2.0.0 growthbook==4.0.0 amplitude-experiment==1.13.0
v/bin/python - <<'PY'
import json, warnings
warnings.filterwarnings("ignore")
from amplitude_experiment.evaluation.engine import EvaluationEngine
from amplitude_experiment.evaluation.types import EvaluationFlag
from flag_engine.segments.evaluator import is_context_in_segment
from growthbook import GrowthBook
import ldclient
from ldclient.config import Config
from ldclient.integrations.test_data import TestData
from optimizely import optimizely
from yggdrasil_engine.engine import UnleashEngine

def launchdarkly(known):
    data = TestData.data_source()
    flag = data.flag("f").boolean_flag().fallthrough_variation(False)
    data.update(flag.if_not_match("plan", "a").then_return(True))
    client = ldclient.LDClient(Config("offline", update_processor_class=data, send_events=False))
    try:
        return client.variation("f", ldclient.Context.from_dict({"kind": "user", "key": "1", **known}), None)
    finally:
        client.close()

def optimizely_(known):
    rule = ["not", {"type": "custom_attribute", "name": "plan", "match": "exact", "value": "a"}]
    everybody = {"key": "e", "id": "e", "status": "Running", "layerId": "l", "forcedVariations": {}, "audienceIds": ["1"],
                 "variations": [{"id": "1", "key": "on", "variables": []}],
                 "trafficAllocation": [{"entityId": "1", "endOfRange": 10000}]}
    dummy = json.dumps(["or", {"type": "custom_attribute", "name": "$opt_dummy_attribute", "value": "x"}])
    file = {"version": "4", "revision": "1", "projectId": "1", "accountId": "1", "anonymizeIP": True, "events": [],
            "groups": [], "rollouts": [], "featureFlags": [], "variables": [], "attributes": [{"id": "1", "key": "plan"}],
            "audiences": [{"id": "1", "name": "n", "conditions": dummy}],
            "typedAudiences": [{"id": "1", "name": "n", "conditions": rule}], "experiments": [everybody]}
    return optimizely.Optimizely(json.dumps(file)).get_variation("e", "1", known) == "on"

def flagsmith(known, kind, operator):
    condition = {"property": "plan", "operator": operator, "value": "a"}
    segment = {"key": "1", "name": "s", "rules": [{"type": kind, "conditions": [condition]}]}
    who = {"identifier": "1", "key": "1", "traits": known}
    return is_context_in_segment({"environment": {"key": "k", "name": "e"}, "identity": who}, segment)

def unleash(known):
    rule = {"contextName": "plan", "operator": "NOT_IN", "values": ["a"]}
    strategy = {"name": "default", "parameters": {}, "constraints": [rule]}
    engine = UnleashEngine()
    engine.take_state(json.dumps({"version": 2, "features": [{"name": "f", "enabled": True, "strategies": [strategy]}]}))
    return engine.is_enabled("f", {"properties": known}).is_enabled

def growthbook(known):
    rule = {"condition": {"plan": {"$ne": "a"}}, "force": True}
    return GrowthBook(attributes=known, features={"f": {"defaultValue": False, "rules": [rule]}}).is_on("f")

def amplitude(known):
    where = ["context", "user", "user_properties", "plan"]
    flag = EvaluationFlag.from_dict({"key": "f", "variants": {"on": {"key": "on"}, "off": {"key": "off"}}, "segments": [
        {"conditions": [[{"selector": where, "op": "is not", "values": ["a"]}]], "variant": "on"}, {"variant": "off"}]})
    return EvaluationEngine().evaluate({"user": {"user_properties": known}}, [flag])["f"].key == "on"

evaluators = {
    "launchdarkly": launchdarkly, "optimizely": optimizely_, "unleash": unleash, "growthbook": growthbook,
    "amplitude": amplitude, "flagsmith NOT_EQUAL": lambda known: flagsmith(known, "ALL", "NOT_EQUAL"),
    "flagsmith NONE": lambda known: flagsmith(known, "NONE", "EQUAL")}
seen = {}
for name, evaluate in evaluators.items():
    assert evaluate({"plan": "b"}) is True and evaluate({"plan": "a"}) is False, name
    seen[name] = evaluate({})
    print(f"{name:20} plan missing: {'in' if seen[name] else 'out'}")
assert seen == {"launchdarkly": False, "optimizely": False, "unleash": True, "growthbook": True, "amplitude": True,
                "flagsmith NOT_EQUAL": False, "flagsmith NONE": True}
print("as seen on 2026-11-29")
PY
