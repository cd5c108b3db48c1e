"""What users import: declarations, the client, tracking. Needs the base install only, and loads nothing heavy on import."""
