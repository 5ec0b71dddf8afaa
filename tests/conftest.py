"""What all tests share: no deadline for generated examples, because how long one takes says more of the machine than of us."""

from hypothesis import settings

settings.register_profile("book", deadline=None)
settings.load_profile("book")
