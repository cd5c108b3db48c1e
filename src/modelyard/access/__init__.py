"""People, service accounts, tokens, sessions, roles and teams. Owns who may do what; not which route asks for which role."""
