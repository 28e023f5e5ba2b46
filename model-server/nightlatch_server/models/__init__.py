"""The networks that can be served, built from the verified files of a model package.

It decides how token ids become vectors and is the only package that imports torch and tokenizers; it reads no files.
Start reading in `base.py`, what the engine needs of a model, and `registry.py`, which models there are.
"""
