"""The end of the agent, or of its whole machine, at any instant that matters to anybody else.

The simulated parts say where they are; a fuse that was lit burns down there, and then the agent is
gone: nothing that it had not written is left. It decides nothing about what happens next.
"""


class Death(BaseException):
    """The agent ends here. No code of the agent's may catch it, as none catches a power cut."""


class Fate:
    """Where the agent dies next."""

    def __init__(self) -> None:
        self._fuse: int | None = None
        self.deaths = 0
        self.last = ""
        """Where it died the last time."""

    def light(self, instants: int) -> None:
        """Die after so many instants more."""
        self._fuse = instants

    def put_out(self) -> None:
        """Live."""
        self._fuse = None

    def pass_by(self, where: str) -> None:
        """An instant: what was done is done, what comes next is not begun."""
        if self._fuse is None:
            return
        if self._fuse > 0:
            self._fuse -= 1
            return
        self._fuse = None
        self.die(where)

    def die(self, where: str) -> None:
        """Die here.

        Raises:
            Death: always.
        """
        self.deaths += 1
        self.last = where
        raise Death(where)
