"""What the record says: tables, charts, pages."""
