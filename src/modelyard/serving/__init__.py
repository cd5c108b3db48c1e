"""Endpoints, revisions of traffic, the gateway and the prediction log. Knows no delivery, monitoring or governance."""
