"""Between the protocols and the model: loading it, batching requests for it, running it.

It decides what runs together, what waits and what is refused; it may start threads and set torch's environment, but
knows nothing of HTTP. Start reading in `serving.py`, then `batcher.py`; `loader.py` is the start-up.
"""
