"""The place in the chain of steps where it is decided whether a caller may do what is asked.

Policies are kept and given back; none is evaluated yet, and `AllowAll` says so by its name. Evaluation will be another
`Authorizer`, passed to the gateway in its place.
"""

from typing import Protocol

from portside.aws.service import Params, RequestContext


class Authorizer(Protocol):
    """Decides whether the caller may call an operation with these parameters."""

    def authorize(self, context: RequestContext, params: Params) -> None:
        """Return if it may.

        Raises:
            ServiceError: AccessDenied, in the words of the service.
        """
        ...


class AllowAll:
    """Whoever is recognised may do everything."""

    def authorize(self, context: RequestContext, params: Params) -> None:
        return
