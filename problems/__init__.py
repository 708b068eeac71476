"""The catalogue: one file per equation, with its class, exact solutions and paper-named cases.

It installs, and is imported, as ``sciml.problems`` only, so that no two copies of a class exist.
"""

if __name__ != "sciml.problems":
    raise ImportError(f"this folder is the package sciml.problems, but it was imported as {__name__!r}; write `from sciml.problems import ...`.")
