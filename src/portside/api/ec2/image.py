"""Images: those that container instances start from, described. There are no others, and none can be made."""

from datetime import UTC, datetime
from typing import Any, Final

from portside.api.ec2.selection import answer, page, selected
from portside.aws.service import Params, RequestContext, Result, ServiceError
from portside.domain import ecs_image
from portside.domain.ecs_image import EcsImage

OWNER: Final = "591542846629"
"""The account that publishes the ECS images in most regions."""
_MADE_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


class ImageHandlers:
    def describe_images(self, context: RequestContext, params: Params) -> Result:
        images = {ecs_image.image_id(context.region, each): each for each in ecs_image.IMAGES}
        asked = list(params.get("ImageIds") or ())
        for each in asked:
            if each not in images:
                raise ServiceError("InvalidAMIID.NotFound", f"The image id '[{each}]' does not exist")
        owners, users = set(params.get("Owners") or ()), params.get("ExecutableUsers") or ["all"]
        rows = [
            _to_wire(image_id, image)
            for image_id, image in images.items()
            if (not asked or image_id in asked) and (not owners or owners & {"amazon", OWNER}) and "all" in users
        ]
        found, token = page(selected(rows, params, _FIELDS), params, lambda row: str(row["ImageId"]))
        return answer("Images", found, token)


def _to_wire(image_id: str, image: EcsImage) -> dict[str, Any]:
    name = ecs_image.image_name(image)
    return {
        "ImageId": image_id,
        "Name": name,
        "Description": f"{image.system} for Amazon ECS",
        "Architecture": image.architecture,
        "BlockDeviceMappings": [],
        "CreationDate": _MADE_AT.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "EnaSupport": True,
        "Hypervisor": "xen",
        "ImageLocation": f"amazon/{name}",
        "ImageOwnerAlias": "amazon",
        "ImageType": "machine",
        "OwnerId": OWNER,
        "PlatformDetails": "Linux/UNIX",
        "Public": True,
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": "ebs",
        "State": "available",
        "VirtualizationType": "hvm",
    }


_FIELDS = {
    "image-id": lambda i: [i["ImageId"]],
    "name": lambda i: [i["Name"]],
    "description": lambda i: [i["Description"]],
    "architecture": lambda i: [i["Architecture"]],
    "owner-alias": lambda i: ["amazon"],
    "owner-id": lambda i: [OWNER],
    "is-public": lambda i: ["true"],
    "state": lambda i: ["available"],
    "root-device-type": lambda i: ["ebs"],
    "virtualization-type": lambda i: ["hvm"],
    "image-type": lambda i: ["machine"],
}
