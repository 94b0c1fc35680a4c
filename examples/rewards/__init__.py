"""Rewards app: offers in six randomised waves."""
