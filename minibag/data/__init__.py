"""data: see the module names."""
