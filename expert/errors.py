"""What can go wrong, said in one sentence to the person at the screen."""


class ExpertError(Exception):
    """Something the user can act on: the message is one sentence (what, where, what to do)."""


class InputError(ExpertError):
    """An image, table or folder that cannot be used."""


class ModelError(ExpertError):
    """A model file that cannot be used."""


class RecipeError(ExpertError):
    """A training recipe that cannot be used."""


class Cancelled(ExpertError):
    """The user pressed Cancel; raised from inside a progress callback and passed through unchanged."""
