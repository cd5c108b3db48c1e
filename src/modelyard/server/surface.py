"""All that can be reached: the operations, pages and actions of every component, and what is injected into them. Adds nothing."""

from modelyard.access.api import OPERATIONS as ACCESS_OPERATIONS
from modelyard.access.domain import Authenticated, Principal
from modelyard.access.pages import ACTIONS as ACCESS_ACTIONS
from modelyard.access.pages import PAGES as ACCESS_PAGES
from modelyard.core.clock import Clock
from modelyard.core.settings import Settings
from modelyard.delivery.api import OPERATIONS as DELIVERY_OPERATIONS
from modelyard.ledger.api import OPERATIONS as LEDGER_OPERATIONS
from modelyard.ledger.pages import PAGES as LEDGER_PAGES
from modelyard.ledger.service import LogKey
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.storage.online import OnlineStore
from modelyard.storage.tables import Tables
from modelyard.web.operations import Operation
from modelyard.web.pages import Action, Page

INJECTABLE: frozenset[type] = frozenset({Authenticated, Principal, Clock, Settings, LogKey, Blobs, Database, OnlineStore, Tables})
OPERATIONS: tuple[Operation, ...] = (*ACCESS_OPERATIONS, *DELIVERY_OPERATIONS, *LEDGER_OPERATIONS)
PAGES: tuple[Page, ...] = (*ACCESS_PAGES, *LEDGER_PAGES)
ACTIONS: tuple[Action, ...] = (*ACCESS_ACTIONS,)
