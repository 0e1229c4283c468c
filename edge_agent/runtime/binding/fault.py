"""A message's fault that belongs to one named field."""

from edge_agent.errors import MessageError


class FieldFault(MessageError):
    """A message cannot become tensors because of one field.

    Attributes:
        field: the field's or tensor's name, for the error that is published.
    """

    def __init__(self, field: str, text: str, *, code: str, hint: str = "") -> None:
        super().__init__(f"{field}: {text}", code=code, hint=hint)
        self.field = field
