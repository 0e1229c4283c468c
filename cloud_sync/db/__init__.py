"""The database: tables, engine and migrations. Knows rows, not what they mean."""
