"""What Certificate Manager reads of the store: certificates by ARN, and who uses them."""

from portside.api.acm import error
from portside.aws.service import RequestContext, ServiceError
from portside.domain import arn as arns
from portside.domain.certificate import Certificate
from portside.domain.table import CERTIFICATE, LISTENER
from portside.store.interface import Delete, Store


class Certificates:
    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, context: RequestContext, arn: str) -> Certificate:
        found = self._store.get(CERTIFICATE, context.prefix + arn)
        if found is None:
            parsed = arns.parse(arn)
            if parsed is None or parsed.service != "acm" or not parsed.resource.startswith("certificate/"):
                raise ServiceError("InvalidArnException", f"The ARN {arn} is not a certificate's")
            raise error.not_found(arn, context.account)
        return found

    def users(self, arn: str) -> list[str]:
        """The ARNs of the load balancers whose listeners have this certificate."""
        users = {
            listener.load_balancer_arn
            for listener in self._store.scan(LISTENER)
            if arn == listener.certificate_arn or arn in listener.certificate_list
        }
        return sorted(users)

    def remove(self, certificate: Certificate) -> None:
        self._store.transact(Delete(CERTIFICATE, CERTIFICATE.key(certificate)))
