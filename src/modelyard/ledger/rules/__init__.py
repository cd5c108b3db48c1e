"""Pure rules of the log: leaves, the Merkle tree and its tiles, signed notes. No input or output."""
