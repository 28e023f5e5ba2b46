"""Model packages on disk: a directory with `model.json`, `*.safetensors` and, for text, `tokenizer.json`.

It decides which packages are safe and complete, and may read and write package directories, but never imports torch.
Start reading in `reader.py`, which says how one digest pins a whole package; `writer.py` makes a package.
"""
