"""The one exception that means: the user can mend this."""


class UserError(ValueError):
    """A user's mistake, in one sentence that says what was wrong, where, and what would fix it.

    Every command prints it without a traceback and exits with code 2. Anything else that is raised is our bug.
    """
