"""Settings that hold for all tests."""

from hypothesis import settings

# A busy machine is no failure: examples are judged by what they return, not by how long they take. And the same
# examples are tried everywhere, so that a test does not turn red on a change that has nothing to do with it.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")
