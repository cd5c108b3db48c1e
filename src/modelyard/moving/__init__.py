"""Moving in and out: what MLflow holds is brought here and compared, what is held here is taken away in open formats.

Everything is read and written through operations and the artifact routes, as any client may. It owns no record.
"""
