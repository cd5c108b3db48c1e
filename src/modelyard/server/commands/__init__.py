"""`yard up` and the single roles as commands. Each module loads its own role alone: what another needs would cost it memory for good."""
