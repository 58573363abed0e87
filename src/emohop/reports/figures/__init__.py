"""Figures, on a page and on paper."""
