"""From a tracked run to a project: what the run says (`tracked`), how its estimator is written (`estimators`), the files (`writing`)."""
