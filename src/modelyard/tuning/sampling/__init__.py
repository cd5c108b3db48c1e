"""Where Optuna is: its storage over our tables, and what its samplers and pruners decide. It takes a second to import."""
