"""The store over YAML files in a state directory, for `nightlatch up`.

It reads and writes that directory only, under its lock, and lets several processes share it. Start with `store.py`; the
order of changes, which watches follow, is in `journal.py`.
"""
