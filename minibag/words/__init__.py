"""words: see the module names."""
