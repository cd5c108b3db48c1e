"""Models, their immutable versions, aliases, formats and signatures. Owns what a model is; not who answers traffic with it."""
