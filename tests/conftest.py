"""Makes `support` importable from every test: this folder is put on the path because of this file."""
