"""Features: entities, views, sets, their values at an instant, offline and online. Owns no model and no prediction."""
