"""The forms of the standards as pure functions: DSSE envelopes, in-toto statements, model signatures, log lines. No input or output."""
