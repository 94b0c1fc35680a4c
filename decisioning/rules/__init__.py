"""Rules over facts: the language, its proofs, and the rules of a layer of gates."""
