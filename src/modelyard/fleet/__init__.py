"""Fleet: all models on one page, the six questions answered live, and what led to a prediction. Owns no state of the others."""
