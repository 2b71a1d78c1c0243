"""The identity document of an instance, and its signature: with both, somebody on it proves which instance it is.

AWS signs with a key pair of its own and publishes certificates; here only Portside itself can verify. Pure.
Source: EC2 user guide, "Instance identity documents for Amazon EC2 instances".
"""

import base64
import hashlib
import hmac
import json

from portside.domain.ec2_instance_type import INSTANCE_TYPES
from portside.domain.instance import Instance


def document(instance: Instance) -> str:
    """The same for as long as the instance runs."""
    members = {
        "accountId": instance.scope.account,
        "architecture": INSTANCE_TYPES[instance.instance_type].architecture,
        "availabilityZone": instance.zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": None,
        "marketplaceProductCodes": None,
        "pendingTime": f"{instance.launched_at:%Y-%m-%dT%H:%M:%SZ}",
        "privateIp": instance.address,
        "ramdiskId": None,
        "region": instance.scope.region,
        "version": "2017-09-30",
    }
    return json.dumps(members, indent=2)


class InstanceIdentities:
    """
    Args:
        key: secret, the same across restarts.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def signature(self, text: str) -> str:
        return base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256)).decode()

    def is_of(self, instance: Instance, text: str, signature: str) -> bool:
        """Whether the document is this instance's, as it is now."""
        return text == document(instance) and hmac.compare_digest(
            self.signature(text).encode(), "".join(signature.split()).encode()
        )

    @staticmethod
    def named(text: str) -> str | None:
        """The instance that a document names; None if it is no document."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        name = found.get("instanceId") if isinstance(found, dict) else None
        return name if isinstance(name, str) else None
