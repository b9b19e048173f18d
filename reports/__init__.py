"""Reports on a record: tables, charts, pages."""
