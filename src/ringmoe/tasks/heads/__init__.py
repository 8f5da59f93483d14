"""Heads: from the pyramid of a backbone to scores or values."""
