"""Writes the pages of `docs/reference` from the sources that they document: one module for each page.

It may import every other package, and nothing imports it. Only `__main__.py` reads and writes files.
Start with `__main__.py`, which has the list of pages; a new page is a module with a `render()` and a line in that list.
"""
