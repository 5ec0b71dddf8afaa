"""The command ``deepatoms``, also ``python -m deepatoms``: where the house's rooms are joined for the command line."""

import sys

from deepatoms.reports import command


def _worth():
    """Return what choosing by F was worth: the study that knows is imported only by who asks, and needs the data extra."""
    from deepatoms.studies.deep_frame_potential import worth
    return worth.sentences()


def main() -> int:
    """Run the command line and return its exit status."""
    return command.main(worth=_worth)


if __name__ == "__main__":
    sys.exit(main())
