"""Smaller models from larger ones: statistics, sub-models, expert pruning, dense integration."""
