"""All of tuning's SQL: studies as Modelyard knows them, and beside them what Optuna keeps of a study, its trials and their reports."""
