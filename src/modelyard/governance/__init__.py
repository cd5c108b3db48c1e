"""Governance: attestations, model cards, requirements, dossiers and their verification."""
