"""The APIs that callers use: Open Inference Protocol v2 over REST and OpenAI's embeddings API.

It decides which paths exist, which bodies are valid and what every answer looks like; it reaches the model only through
the engine and does no I/O of its own. Start reading in `app.py`, then `operations.py`.
"""
