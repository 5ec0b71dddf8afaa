"""Configurations that name their recipe where it is not the one that the first records were made with."""


def named(configuration, recipe, unnamed):
    """Return the configuration with its recipe added, unless it is the ``unnamed`` one of the records that say none.

    A recipe that changes so changes the record's key, and no record of another recipe is taken for it.
    """
    return configuration if recipe == unnamed else configuration | {"recipe": recipe}
