"""With this folder on PYTHONPATH, every Python that starts has the pretend accelerator."""

from tests.accelerator.pretend import register

register()
