"""A model and what stays of it → a smaller model.

`cutting` decides what of each variable stays, `rebuild` makes the layers anew around it.
"""
