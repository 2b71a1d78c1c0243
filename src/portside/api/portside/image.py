"""Images as the command line asks for them: who uses which, and removal of one. `/_portside/images`."""

from typing import Any, Protocol

from portside.domain.refusal import RefusalKind, Refused

_STATUS = {RefusalKind.NOT_FOUND: 404, RefusalKind.IN_USE: 409}


class Images(Protocol):
    async def users(self) -> dict[str, str]:
        """By whom each image of the machine is used: id -> in words. Raises OSError."""
        ...

    async def remove(self, named: str) -> dict[str, Any]:
        """Raises Refused, OSError."""
        ...


async def answer(images: Images, method: str, named: str) -> tuple[int, dict[str, Any]]:
    """HTTP status and document: GET of all tells {"users": {id: who}}, DELETE of one {"id", "names", "freedBytes"}."""
    try:
        match method, named:
            case "GET", "":
                return 200, {"users": await images.users()}
            case "DELETE", _ if named:
                return 200, await images.remove(named)
            case _:
                return 405, {"error": f"{method} is not answered here"}
    except Refused as refused:
        return _STATUS.get(refused.kind, 400), {"error": refused.message}
    except OSError as error:
        return 500, {"error": str(error)}
