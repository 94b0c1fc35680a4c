"""Checks over the whole catalogue: names, rules, words, fairness, and proofs about what can happen."""
