"""The images that container instances start from: their ids, and the public SSM parameters that name them.

An image is a name here and no disk: an instance runs containers only. Its id is the same whenever and wherever it is
asked for. Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/retrieve-ecs-optimized_AMI.html
"""

import hashlib
import json
from typing import Final, NamedTuple

PREFIX: Final = "/aws/service/ecs/optimized-ami/"
VERSION: Final = "20260101"


class EcsImage(NamedTuple):
    path: str  # below PREFIX
    architecture: str
    system: str
    stem: str


IMAGES: Final = (
    EcsImage("amazon-linux-2023", "x86_64", "Amazon Linux 2023", "al2023-ami-ecs-hvm-2023.0"),
    EcsImage("amazon-linux-2023/arm64", "arm64", "Amazon Linux 2023", "al2023-ami-ecs-hvm-2023.0"),
    EcsImage("amazon-linux-2", "x86_64", "Amazon Linux 2", "amzn2-ami-ecs-hvm-2.0"),
    EcsImage("amazon-linux-2/arm64", "arm64", "Amazon Linux 2", "amzn2-ami-ecs-hvm-2.0"),
)


def image_id(region: str, image: EcsImage) -> str:
    """Differs by region, as AWS's do."""
    return "ami-0" + hashlib.sha256(f"{region}/{image.path}".encode()).hexdigest()[:16]


def image_name(image: EcsImage) -> str:
    suffix = {"arm64": "arm64-ebs"}.get(image.architecture, "x86_64-ebs")
    return f"{image.stem}.{VERSION}-{suffix}"


def find(region: str, ami_id: str) -> EcsImage | None:
    return next((each for each in IMAGES if image_id(region, each) == ami_id), None)


def parameter(region: str, name: str) -> str | None:
    """The value of a public SSM parameter that names one of these images; None for any other name.

    `…/recommended` is a JSON document, `…/recommended/image_id` and its like are its members."""
    for image in IMAGES:
        base = f"{PREFIX}{image.path}/recommended"
        if name == base:
            return json.dumps(_recommended(region, image))
        if name.startswith(f"{base}/"):
            return _recommended(region, image).get(name.removeprefix(f"{base}/"))
    return None


def parameter_names() -> tuple[str, ...]:
    """All names that `parameter` knows."""
    return tuple(
        f"{PREFIX}{image.path}/recommended{member}"
        for image in IMAGES
        for member in ("", *(f"/{each}" for each in sorted(_recommended("", image))))
    )


def _recommended(region: str, image: EcsImage) -> dict[str, str]:
    return {
        "image_id": image_id(region, image),
        "image_name": image_name(image),
        "image_version": f"{image.stem.rpartition('-')[2]}.{VERSION}",
        "os": image.system,
    }
