"""Data in whatever form people have it → arrays by input and output, on disk where they come from a file.

`data` is what all forms become; `npz`, `images`, `streams` and `builtin` are a form each; `loading` tells files apart.
"""
