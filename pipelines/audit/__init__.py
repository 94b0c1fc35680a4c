"""Audits of logged decisions: replay, fresh draws, verification of the chain, evaluation."""
