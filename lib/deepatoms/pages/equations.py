"""What stands beside an equation, on the site and in JupyterLab."""


def numbered(label):
    """Return the paper's key, and the equation's number there or what it is: a running number would look like the paper's.

    >>> numbered("spl-eq-7"), numbered("csc-thm-2"), numbered("spl-in-radius")
    ('spl 7', 'csc thm 2', 'spl in radius')
    """
    return label.replace("-eq-", " ").replace("-", " ")
