"""The store of the registry: each module owns the SQL on some of its tables."""
