"""checks: see the module names."""
