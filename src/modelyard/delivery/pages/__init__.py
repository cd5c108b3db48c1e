"""Delivery's pages and actions: deliveries, one delivery, approvals, one reproduction. Each module beside owns its contexts."""

from modelyard.delivery.pages.approvals import approve, reject, show_approvals
from modelyard.delivery.pages.deliveries import cancel, show_deliveries, show_delivery
from modelyard.delivery.pages.reproductions import reproduce, reproduce_run, show_reproduction
from modelyard.web.pages import Action, Nav, Page, action, for_ids, page

PAGES: tuple[Page, ...] = (
    page("/deliveries", show_deliveries, "delivery/deliveries.html", nav=Nav("Run", "Deliveries", 40)),
    for_ids("dlv", page("/deliveries/{delivery}", show_delivery, "delivery/delivery.html", title="Delivery")),
    for_ids("rpr", page("/reproductions/{reproduction}", show_reproduction, "delivery/reproduction.html", title="Reproduction")),
    page("/approvals", show_approvals, "delivery/approvals.html", nav=Nav("", "Approvals", 20)),
)
ACTIONS: tuple[Action, ...] = (
    action("/deliveries/{delivery}/cancel", cancel),
    action("/models/{model}/versions/{version}/reproduce", reproduce),
    action("/runs/{run_id}/reproduce", reproduce_run),
    action("/approvals/{approval}/approve", approve),
    action("/approvals/{approval}/reject", reject),
)
