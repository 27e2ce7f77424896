"""The report as one HTML page that opens offline: ``page.render`` makes it."""
