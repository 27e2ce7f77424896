"""Reports: tables and figures made from data that other rooms return."""
