"""The composition root: settings, wiring, roles, start. Owns no rule of the product; it only puts the parts together."""
