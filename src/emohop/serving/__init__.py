"""A model as a web service, and a page to try it on."""
