"""Scores, folds, intervals and result files: what an experiment is judged by."""
