"""All that can be reached: the operations, pages and actions of every component, and what is injected into them. Adds nothing."""

from modelyard.access.api import OPERATIONS as ACCESS_OPERATIONS
from modelyard.access.domain import Authenticated, Principal, PrincipalId
from modelyard.access.pages import ACTIONS as ACCESS_ACTIONS
from modelyard.access.pages import PAGES as ACCESS_PAGES
from modelyard.access.service import principal_names
from modelyard.core.clock import Clock
from modelyard.core.settings import Settings
from modelyard.delivery.api import OPERATIONS as DELIVERY_OPERATIONS
from modelyard.delivery.pages import ACTIONS as DELIVERY_ACTIONS
from modelyard.delivery.pages import PAGES as DELIVERY_PAGES
from modelyard.delivery.sections import approver_of, on_runs_page
from modelyard.delivery.sections import on_models_page as delivery_on_models_page
from modelyard.delivery.sections import on_versions_page as delivery_on_versions_page
from modelyard.delivery.service import why_bound as why_delivery_binds
from modelyard.features.api import OPERATIONS as FEATURE_OPERATIONS
from modelyard.features.pages import PAGES as FEATURE_PAGES
from modelyard.features.sections import Parities
from modelyard.fleet.api import OPERATIONS as FLEET_OPERATIONS
from modelyard.fleet.pages import PAGES as FLEET_PAGES
from modelyard.governance.api import OPERATIONS as GOVERNANCE_OPERATIONS
from modelyard.governance.pages import ACTIONS as GOVERNANCE_ACTIONS
from modelyard.governance.pages import PAGES as GOVERNANCE_PAGES
from modelyard.governance.sections import on_models_page as governance_on_models_page
from modelyard.governance.sections import on_versions_page as governance_on_versions_page
from modelyard.governance.service import RoleKeys
from modelyard.ledger.api import OPERATIONS as LEDGER_OPERATIONS
from modelyard.ledger.domain import Reader
from modelyard.ledger.pages import PAGES as LEDGER_PAGES
from modelyard.ledger.pages import Actors
from modelyard.ledger.service import Contents, LogKey
from modelyard.monitoring.api import OPERATIONS as MONITORING_OPERATIONS
from modelyard.monitoring.pages import ACTIONS as MONITORING_ACTIONS
from modelyard.monitoring.pages import PAGES as MONITORING_PAGES
from modelyard.monitoring.sections import on_models_page as monitoring_on_models_page
from modelyard.monitoring.sections import on_views_page
from modelyard.monitoring.service import why_bound as why_monitoring_binds
from modelyard.registry.api import OPERATIONS as REGISTRY_OPERATIONS
from modelyard.registry.forms import ACTIONS as REGISTRY_ACTIONS
from modelyard.registry.pages import PAGES as REGISTRY_PAGES
from modelyard.registry.sections import Contributors
from modelyard.registry.service import Bonds
from modelyard.serving.api import OPERATIONS as SERVING_OPERATIONS
from modelyard.serving.pages import ACTIONS as SERVING_ACTIONS
from modelyard.serving.pages import PAGES as SERVING_PAGES
from modelyard.serving.pages import NearGateway
from modelyard.serving.service import why_bound as why_serving_binds
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.storage.online import OnlineStore
from modelyard.storage.tables import Tables
from modelyard.tracking.api import OPERATIONS as TRACKING_OPERATIONS
from modelyard.tracking.pages import ACTIONS as TRACKING_ACTIONS
from modelyard.tracking.pages import PAGES as TRACKING_PAGES
from modelyard.tracking.sections import RunContributors
from modelyard.tuning.api import OPERATIONS as TUNING_OPERATIONS
from modelyard.tuning.pages import ACTIONS as TUNING_ACTIONS
from modelyard.tuning.pages import PAGES as TUNING_PAGES
from modelyard.tuning.sections import on_models_page as tuning_on_models_page
from modelyard.web.operations import Operation
from modelyard.web.pages import Action, Page

INJECTABLE: frozenset[type] = frozenset(
    {
        Actors,
        Authenticated,
        Contents,
        Contributors,
        NearGateway,
        Parities,
        Principal,
        Reader,
        RunContributors,
        Clock,
        Settings,
        LogKey,
        RoleKeys,
        Blobs,
        Database,
        OnlineStore,
        Tables,
    }
)
OPERATIONS: tuple[Operation, ...] = (
    *ACCESS_OPERATIONS,
    *DELIVERY_OPERATIONS,
    *FEATURE_OPERATIONS,
    *FLEET_OPERATIONS,
    *GOVERNANCE_OPERATIONS,
    *LEDGER_OPERATIONS,
    *MONITORING_OPERATIONS,
    *REGISTRY_OPERATIONS,
    *SERVING_OPERATIONS,
    *TRACKING_OPERATIONS,
    *TUNING_OPERATIONS,
)
PAGES: tuple[Page, ...] = (
    *DELIVERY_PAGES,
    *FEATURE_PAGES,
    *FLEET_PAGES,
    *GOVERNANCE_PAGES,
    *TRACKING_PAGES,
    *TUNING_PAGES,
    *REGISTRY_PAGES,
    *SERVING_PAGES,
    *MONITORING_PAGES,
    *LEDGER_PAGES,
    *ACCESS_PAGES,
)
ACTIONS: tuple[Action, ...] = (
    *ACCESS_ACTIONS,
    *DELIVERY_ACTIONS,
    *GOVERNANCE_ACTIONS,
    *REGISTRY_ACTIONS,
    *SERVING_ACTIONS,
    *TRACKING_ACTIONS,
    *MONITORING_ACTIONS,
    *TUNING_ACTIONS,
)
ACTORS = Actors(names=lambda snapshot, ids: {str(one): name for one, name in principal_names(snapshot, map(PrincipalId, ids)).items()})
PARITIES = Parities(of=on_views_page)
BONDS = Bonds(functions=(why_serving_binds, why_delivery_binds, why_monitoring_binds))
CONTRIBUTORS = Contributors(
    functions=(monitoring_on_models_page, governance_on_models_page, delivery_on_models_page, tuning_on_models_page),
    on_version=(governance_on_versions_page, delivery_on_versions_page),
    approver=approver_of,
)
RUN_CONTRIBUTORS = RunContributors(functions=(on_runs_page,))
