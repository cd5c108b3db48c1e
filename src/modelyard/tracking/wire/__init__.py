"""MLflow's REST interface: a bare ASGI app, its routes, its codec and its errors. Other components add routes to it.

A route says which request it takes and what reads, writes or logs it; decoding, access to the team's rows, transactions and
MLflow's error shape follow. Owns the wire; every decision is made in a service.
"""

from modelyard.tracking.wire.errors import MlflowError
from modelyard.tracking.wire.routing import MlflowRoute, Read, Write

__all__ = ["MlflowError", "MlflowRoute", "Read", "Write"]
