"""Decides whether an object is valid and supported, and what to tell the user if it is not.

It is pure and imports only the models.
Start with `parse.py`, which turns a raw object into a typed one or raises every cause at once.
"""
