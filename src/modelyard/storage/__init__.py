"""Transactions, migrations, blobs, tables and the online store: rows and bytes. Knows no word of the domain."""
