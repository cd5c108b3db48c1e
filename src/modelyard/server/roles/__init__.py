"""The roles as processes: `up` supervises all, each other one serves alone. Each module loads what its own role needs, and no more."""
