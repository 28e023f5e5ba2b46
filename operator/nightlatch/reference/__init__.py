"""The reference pages under docs/reference, generated from the code that they describe.

Each page is one module with a function `page()` that returns Markdown. The package imports what it describes and writes
only the pages. Start with `__main__.py`, which lists them.
"""
