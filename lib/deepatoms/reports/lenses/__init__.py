"""One module a theory; each has a function ``lens(subject)`` that yields the entries of a report."""
