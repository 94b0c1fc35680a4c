"""How we choose: the pure decision core.

Standard library and numpy only. Nothing here reads a file, a socket, the environment or the clock, and every random
number arrives as an argument; so any decision can be replayed from its record, and the very function that serves a
request is the one that batch runs and that evaluation measures.
"""
