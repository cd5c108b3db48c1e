"""The pipelines that bring a model to production: plan, stages, gates, approvals, rollouts, triggers. Policies come from above."""
