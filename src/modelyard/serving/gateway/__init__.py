"""The data plane: one process that answers with many models. Owns requests; writes its log and its folder, never the database."""
