"""Sentinel-2 MSI: top-of-atmosphere (L1C) and surface (L2A) reflectance, 13 bands."""
