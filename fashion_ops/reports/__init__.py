"""What people look at: the report, drawings, charts, galleries and pages."""
