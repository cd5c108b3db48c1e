"""The command `yard`: parses words, calls the client, prints. Each command loads only what it needs."""
