"""widgets: see the module names."""
