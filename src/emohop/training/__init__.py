"""Fitting models: batches, the Lightning module, one unit, all folds and seeds."""
