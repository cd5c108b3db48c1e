"""Governance's pages: the dossiers over all models, one dossier, a version's model card; and the form that makes a dossier."""

from modelyard.governance.pages.card import show_card
from modelyard.governance.pages.dossier import make, show_dossier
from modelyard.governance.pages.overview import show_governance
from modelyard.governance.pages.words import DOSSIERS, PATH
from modelyard.web.pages import Action, Nav, Page, action, for_ids, page

PAGES: tuple[Page, ...] = (
    page(PATH, show_governance, "governance/governance.html", nav=Nav("Prove", "Governance", 80)),
    for_ids("dos", page(f"{DOSSIERS}/{{dossier}}", show_dossier, "governance/dossier.html", title="Dossier")),
    page("/models/{model}/versions/{version}/card", show_card, "governance/card.html", title="Model card"),
)
ACTIONS: tuple[Action, ...] = (action("/models/{model}/versions/{version}/dossiers", make),)
