"""The tamper-evident log: entries, their order, checkpoints and proofs. Owns what was recorded; decides nothing about it."""
