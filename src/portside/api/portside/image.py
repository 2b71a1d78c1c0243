"""Images as the command line and the console ask for them: who uses which, and removal of one. `/_portside/images`."""

from collections.abc import Sequence
from typing import Any, Protocol

from portside.domain.image import MachineImage, Use
from portside.domain.refusal import RefusalKind, Refused

_STATUS = {RefusalKind.NOT_FOUND: 404, RefusalKind.IN_USE: 409}


class Images(Protocol):
    async def users(self) -> dict[str, str]:
        """By whom each image of the machine is used: id -> in words. Raises OSError."""
        ...

    async def rows(self) -> Sequence[tuple[MachineImage, Sequence[Use]]]:
        """All of them, with all that use them. Raises OSError."""
        ...

    async def disk_percent(self) -> float:
        """How full the disk is that they lie on. Raises OSError."""
        ...

    async def remove(self, named: str) -> dict[str, Any]:
        """Raises Refused, OSError."""
        ...


async def answer(images: Images, method: str, named: str) -> tuple[int, dict[str, Any]]:
    """HTTP status and document.

    Returns: for GET of all {"users": {id: who}, "diskPercent", "images": [{"id", "digest", "names", "sizeBytes",
        "createdAt", "layers": [{"digest", "sizeBytes"}], "origin", "acquiredAt", "lastUsedAt", "usedBy": [{"kind",
        "account", "region", "cluster", "id"}]}]}, the lowest layer first; for DELETE of one {"id", "names",
        "freedBytes"}."""
    try:
        match method, named:
            case "GET", "":
                return 200, {
                    "users": await images.users(),
                    "diskPercent": await images.disk_percent(),
                    "images": [_row(*each) for each in await images.rows()],
                }
            case "DELETE", _ if named:
                return 200, await images.remove(named)
            case _:
                return 405, {"error": f"{method} is not answered here"}
    except Refused as refused:
        return _STATUS.get(refused.kind, 400), {"error": refused.message}
    except OSError as error:
        return 500, {"error": str(error)}


def _row(image: MachineImage, using: Sequence[Use]) -> dict[str, Any]:
    holding = image.holding
    return {
        "id": image.id,
        "digest": image.digest,
        "names": list(image.names),
        "sizeBytes": image.size_bytes,
        "createdAt": image.created_at.isoformat(),
        "layers": [{"digest": each.digest, "sizeBytes": each.size_bytes} for each in image.layers],
        "origin": holding.origin if holding else None,
        "acquiredAt": holding.acquired_at.isoformat() if holding else None,
        "lastUsedAt": holding.last_used_at.isoformat() if holding else None,
        "usedBy": [
            {
                "kind": each.kind,
                "account": each.scope.account,
                "region": each.scope.region,
                "cluster": each.cluster,
                "id": each.id,
            }
            for each in using
        ],
    }
