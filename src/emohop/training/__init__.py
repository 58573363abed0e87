"""Fitting models: batches, the Lightning module, one fold run, all folds and seeds."""
