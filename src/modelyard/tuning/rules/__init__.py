"""Pure functions over studies and their trials."""
