"""The prediction log: frames, segments and their writer. Owns bytes on the gateway's disk; knows no database and no HTTP."""
