#!/usr/bin/env bash
# mabwiser 2.7.4: `predict_expectations` gives neither an arm's expected reward nor the probability of choosing it.
#
# Guess: for epsilon-greedy the mean reward per arm, for softmax and popularity the probabilities of the draw (0.73 and
# 0.27 for means of 1 and 0 at tau 1), the same on every call.
# Seen: epsilon-greedy gives the means, but uniform random numbers in a share epsilon of the calls; softmax and
# popularity give another random draw on every call. UCB1 gives an arm that was never tried the value 0 and so never
# tries it while another arm has any reward; in the literature an untried arm is played first.
# For whom it matters: these numbers, logged as action probabilities for off-policy evaluation, are noise, and an offer
# added later to a UCB1 policy that was fitted without it is never sent.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
"${PYTHON:-python3}" -m venv v
v/bin/pip install -q --disable-pip-version-check mabwiser==2.7.4
v/bin/python - <<'PY'
import warnings
warnings.filterwarnings("ignore")
from mabwiser.mab import MAB, LearningPolicy

def fitted(policy, arms, decisions, rewards):
    bandit = MAB(arms, policy, seed=1)
    bandit.fit(decisions, rewards)
    return bandit

def calls(bandit, n=400):
    return [tuple(round(float(value), 4) for value in bandit.predict_expectations().values()) for _ in range(n)]

greedy = calls(fitted(LearningPolicy.EpsilonGreedy(epsilon=0.5), ["a", "b"], ["a", "b"] * 10, [1, 0] * 10))
softmax = calls(fitted(LearningPolicy.Softmax(tau=1), ["a", "b"], ["a", "b"] * 10, [1, 0] * 10))
popular = calls(fitted(LearningPolicy.Popularity(), ["a", "b"], ["a", "b"] * 10, [1, 1] * 10))
ucb = fitted(LearningPolicy.UCB1(alpha=1), ["a", "b"], ["a"] * 3, [1, 1, 1])
untried = float(ucb.predict_expectations()["b"])
chosen = {ucb.predict() for _ in range(200)}
print("epsilon-greedy, share of calls that give the means:", sum(call == (1, 0) for call in greedy) / len(greedy))
print("softmax, different answers in 400 calls:", len(set(softmax)), "first:", softmax[0])
print("popularity, different answers in 400 calls:", len(set(popular)), "first:", popular[0])
print("UCB1, value of the arm never tried:", untried, "chosen in 200 calls:", chosen)
assert 0.4 < sum(call == (1, 0) for call in greedy) / len(greedy) < 0.6
assert len(set(softmax)) > 300 and len(set(popular)) > 300
assert untried == 0 and chosen == {"a"}
print("as seen on 2026-11-29")
PY
