"""The report: one page of everything that runs came to."""
