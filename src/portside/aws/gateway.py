"""The gateway: one endpoint for every service, as an ASGI application.

A request passes these steps, in this order, all of them in `Gateway.answer`:
read the body (bounded) → the console, for browsers → refuse web pages of other sites → Portside's own endpoints → tell
who asks, of which service and region → verify the signature, of a session's key always, of others if asked to → undo
the content encoding → tell the operation → parse and validate by the model → authorise → handle → serialise by the
model. Any step may end it with an error, which then takes the protocol's form.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import uuid
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from inspect import isawaitable
from typing import Any
from urllib.parse import parse_qsl

from portside.aws import event_stream
from portside.aws.authorizer import AllowAll, Authorizer
from portside.aws.model import ServiceModel, load_model
from portside.aws.protocol.cbor import PROTOCOL as RPC_V2_CBOR
from portside.aws.protocol.cbor import CborProtocol
from portside.aws.protocol.ec2 import Ec2Protocol
from portside.aws.protocol.interface import Fault, Parse, Serialize, WireProtocol
from portside.aws.protocol.json import JsonProtocol
from portside.aws.protocol.query import QueryProtocol
from portside.aws.protocol.rest_json import RestJsonProtocol
from portside.aws.request import Answer, Caller, Extension, Receiver, Request, Site, SocketExtension, WebSocket
from portside.aws.service import EventStream, Handler, RequestContext, Result, Service, ServiceError
from portside.aws.signature import SignatureError, SignatureVerifier, is_account_id, read_credential

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SERVICE_OF_SIGNING_NAME = {
    "ecs": "ecs",
    "ec2": "ec2",
    "elasticloadbalancing": "elbv2",
    "logs": "logs",
    "sts": "sts",
    "iam": "iam",
    "ssm": "ssm",
    "secretsmanager": "secretsmanager",
    "servicediscovery": "servicediscovery",
    "acm": "acm",
    "monitoring": "cloudwatch",
    "application-autoscaling": "application-autoscaling",
    "elasticfilesystem": "efs",
    "events": "events",
    "sns": "sns",
}
"""Signing name -> botocore's service."""

PROTOCOLS: Mapping[str, Callable[[ServiceModel | None], WireProtocol]] = {
    "json": JsonProtocol,
    "smithy-rpc-v2-cbor": CborProtocol,
    "query": QueryProtocol,
    "ec2": Ec2Protocol,
    "rest-json": RestJsonProtocol,
}
"""The wire protocols, by the name that models give them."""

SERVICE_OF_VERSION = {"elbv2": {"2012-06-01": "elb"}}
"""Two APIs share a signing name and a host; a request's Version says which one is meant."""
EC2_VERSION = "2016-11-15"
XML_SERVICES = frozenset({"s3", "route53", "cloudfront"})
"""Signing names of the services that speak REST with XML; their clients read the query protocol's errors."""

INTERNAL = "InternalFailure"
"""The common code of a failure of the server's; a service that has one of its own uses that:"""
INTERNAL_CODES = {
    "ecs": "ServerException",
    "logs": "ServiceUnavailableException",
    "ec2": "InternalError",
    "ssm": "InternalServerError",
    "efs": "InternalServerError",
}

COVERAGE = "docs/coverage.md"

BODY_TIMEOUT_S = 60.0
"""How long a client may take to send its request."""

PAGE = """\
This is Portside: an AWS-compatible endpoint for Amazon ECS and the services around it.

Point the AWS CLI or an SDK at it:

    export AWS_ENDPOINT_URL=http://{host}
    aws ecs list-clusters

What is implemented: docs/coverage.md. Health: /_portside/health.
"""


class Operation:
    """One implemented operation, compiled: made when it is first asked for."""

    __slots__ = ("handler", "name", "parse", "serialize", "status")

    def __init__(self, name: str, status: int, handler: Handler, parse: Parse, serialize: Serialize) -> None:
        self.name, self.status, self.handler, self.parse, self.serialize = name, status, handler, parse, serialize


class Endpoint:
    """One service in one of its protocols: its model, and the operations compiled so far."""

    def __init__(self, service: Service, protocol: str) -> None:
        self.service = service
        self.model = load_model(service.name)
        self.protocol = PROTOCOLS[protocol](self.model)
        self.operations: dict[str, Operation] = {}
        unknown = set(service.handlers) - set(self.model.operations)
        if unknown:
            raise ValueError(f"{service.name} has no operations {sorted(unknown)}")
        self._statuses = {
            shape.error.code: shape.error.httpStatusCode
            for shape in self.model.shapes.values()
            if shape.exception and shape.error is not None and shape.error.code and shape.error.httpStatusCode
        }

    def operation(self, name: str) -> Operation | None:
        """The compiled operation, or None if it is not implemented."""
        known = self.operations.get(name)
        if known is None and (handler := self.service.handlers.get(name)) is not None:
            model = self.model.operations[name]
            status = model.http.responseCode
            known = Operation(name, status, handler, self.protocol.parser(model), self.protocol.serializer(model))
            self.operations[name] = known
        return known

    def fault(self, error: ServiceError) -> Fault:
        """An error as it shows on the wire: a shape's name becomes its code, and its status is the model's."""
        shape = self.model.shapes.get(error.code)
        if shape is None or not shape.exception:
            # A code as documented: its status is the model's, unless the handler says another.
            status = self._statuses.get(error.code, error.status) if error.status == 400 else error.status
            return Fault(error.code, error.message, status, error.fields)
        trait = shape.error
        code = trait.code if trait is not None and trait.code else error.code
        status = error.status
        if trait is not None and trait.httpStatusCode is not None:
            status = trait.httpStatusCode
        elif shape.fault and status < 500:
            status = 500
        return Fault(code, error.message, status, error.fields)


class Gateway:
    """The AWS-compatible endpoint.

    Args:
        services: what is implemented. Models are loaded and operations compiled when first asked for.
        max_body_bytes: a longer body is refused with 413 and never held in memory; so is one that inflates to more.
        auth: verifies signatures; None, or one that accepts unknown keys, accepts any credentials.
        authorizer: decides whether the caller may do what is asked.
        default_account: for access key ids that are not an account's twelve digits.
        default_region: for requests that name none.
        extensions: Portside's own endpoints, by path; a path that ends in a slash takes everything below it. Where
            not any credentials are accepted, all but /_portside/health must be signed, too, and not by a session's key.
        error_mapper: turns an exception of a handler into a service error, where it knows one (the gateway knows
            nothing of the store's); with the code INTERNAL it becomes the service's own.
        trusted_hosts: further names by which clients may reach the endpoint when it takes any credentials.
        sockets: WebSocket endpoints by the beginning of their path. They are not signed: each knows its clients by a
            token of its own.
        free: paths of extensions that guard themselves: they need not be signed.
        receivers: what takes other protocols by POST, by path: signed as anything else, or by a bearer of its token.
        tokens: of extensions that a bearer of the token may GET instead of signing, and of receivers, by path.
        calls: counts how often each operation was asked for, by service and name.
        site: what browsers are shown. It guards itself; without one, `/` is a page of text.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        max_body_bytes: int,
        auth: SignatureVerifier | None,
        default_account: str,
        default_region: str,
        extensions: Mapping[str, Extension],
        error_mapper: Callable[[Exception], ServiceError | None] = lambda error: None,
        authorizer: Authorizer | None = None,
        trusted_hosts: Sequence[str] = (),
        sockets: Mapping[str, SocketExtension] | None = None,
        tokens: Mapping[str, str] | None = None,
        free: Sequence[str] = (),
        receivers: Mapping[str, Receiver] | None = None,
        calls: Counter[tuple[str, str]] | None = None,
        site: Site | None = None,
    ) -> None:
        self._site = site
        self._calls = calls if calls is not None else Counter()
        self._tokens = dict(tokens or {})
        self._receivers = dict(receivers or {})
        self._free = frozenset(("/_portside/health", *free))
        self._sockets = dict(sockets or {})
        self._services = {service.name: service for service in services}
        self._max_body_bytes = max_body_bytes
        self._auth, self._authorizer = auth, authorizer or AllowAll()
        self._takes_any_key = auth is None or auth.accepts_unknown
        self._default_account, self._default_region = default_account, default_region
        self._exact = {path: run for path, run in extensions.items() if not path.endswith("/")}
        self._prefixes = sorted(
            ((path, run) for path, run in extensions.items() if path.endswith("/")), key=lambda one: -len(one[0])
        )
        self._error_mapper = error_mapper
        self._trusted_hosts = frozenset(trusted_hosts)
        self._endpoints: dict[tuple[str, str], Endpoint] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._converse(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway speaks HTTP only, not {scope['type']}")
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        request_id = str(uuid.uuid4())
        request = Request(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            body=b"",
        )
        body = await self._read_body(headers, receive)
        if isinstance(body, Fault):
            answer = self._refuse(request, body, request_id)
        elif body is None:
            return
        else:
            request.body = request.content = body
            answer = await self.answer(request, request_id)
        await _send(answer, request_id, receive, send)

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket from its request to its end."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(method="GET", path=scope["path"], query="", headers=headers, body=b"")
        run = next((run for path, run in self._sockets.items() if request.path.startswith(path)), None)
        await receive()  # websocket.connect
        if run is None or self._foreign(request) is not None:
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
            return
        await send({"type": "websocket.accept"})

        async def take() -> str | bytes | None:
            message = await receive()
            if message["type"] != "websocket.receive":
                return None
            given: str | bytes | None = message.get("bytes")
            return message["text"] if given is None else given

        async def give(data: bytes) -> None:
            await send({"type": "websocket.send", "bytes": data})

        try:
            await run(WebSocket(request.path, take, give))
        finally:
            with contextlib.suppress(Exception):  # the client may have closed it
                await send({"type": "websocket.close", "code": 1000})

    async def answer(self, request: Request, request_id: str) -> Answer:
        """Every step from a request that has been read to its answer. Never raises for what a client sent."""
        if self._site is not None and self._site.takes(request):
            return await self._site.answer(request, self, self._foreign(request))
        extension = self._extension(request.path)
        if extension is None and request.method == "GET" and _is_visit(request):
            page = PAGE.format(host=request.headers.get("host", "127.0.0.1:4566"))
            return Answer(200, "text/plain; charset=utf-8", page.encode())
        foreign = self._foreign(request) if self._takes_any_key else None
        if foreign is not None:
            return self._refuse(request, Fault("AccessDenied", foreign, 403, {}), request_id)
        if extension is not None:
            return await self._extend(extension, request, request_id)
        receiver = self._receivers.get(request.path)
        if receiver is not None and request.method == "POST":
            return await self._receive(receiver, request, request_id)
        try:
            credential = read_credential(request)
        except SignatureError as error:
            protocol = _guess_protocol(request)
            return self._error(protocol, protocol.auth_fault(error.reason, error.message), request_id)
        wanted = _asked_service(credential.service, request)
        service = self._services.get(wanted)
        if service is None:
            return self._refuse(request, _not_implemented(wanted or credential.service, _named(request)), request_id)
        spoken = _spoken(service.name, request)
        endpoint = self._endpoints.get((service.name, spoken))
        if endpoint is None:
            endpoint = self._endpoints[service.name, spoken] = Endpoint(service, spoken)
        protocol = endpoint.protocol
        try:
            principal = self._auth.verify(request, credential) if self._auth is not None else None
            request.content = self._decode(request)
            message = protocol.read(request)
        except SignatureError as error:
            return self._error(protocol, protocol.auth_fault(error.reason, error.message), request_id)
        except ServiceError as error:
            return self._error(protocol, endpoint.fault(error), request_id)
        name = message.operation
        if name is None or name not in endpoint.model.operations:
            return self._error(protocol, protocol.unknown_operation(name), request_id)
        context = RequestContext(
            account=principal.account if principal is not None else self._account(credential.access_key_id),
            region=credential.region or self._default_region,
            service=service.name,
            operation=name,
            request_id=request_id,
            access_key_id=credential.access_key_id,
            user_agent=request.headers.get("user-agent", ""),
            host=request.headers.get("host", "127.0.0.1:4566"),
            principal=principal,
        )
        return await self._perform(endpoint, context, message.payload)

    async def call(self, service: str, operation: str, region: str, caller: Caller, request: Request) -> Answer:
        """An operation as the site's caller calls it, in JSON both ways whatever the service's own protocol is."""
        context = RequestContext(
            account=caller.account,
            region=region,
            service=service,
            operation=operation,
            request_id=str(uuid.uuid4()),
            access_key_id=caller.access_key_id,
            user_agent=request.headers.get("user-agent", ""),
            host=request.headers.get("host", "127.0.0.1:4566"),
            principal=caller.principal,
        )
        endpoint = self._endpoints.get((service, "call"))
        if endpoint is None:
            known = self._services.get(service)
            if known is None:
                return self._error(JsonProtocol(None), _not_implemented(service, operation), context.request_id)
            endpoint = self._endpoints[service, "call"] = Endpoint(known, "json")
        if operation not in endpoint.model.operations:
            return self._error(endpoint.protocol, endpoint.protocol.unknown_operation(operation), context.request_id)
        return await self._perform(endpoint, context, request.body)

    async def own(self, path: str, request: Request) -> Answer:
        """One of Portside's own endpoints, for the site, which has found out who asks."""
        extension = self._extension(path)
        if extension is None:
            return Answer(404, "application/json", b'{"error":"there is nothing there"}')
        return await self._run(extension, path, request, str(uuid.uuid4()))

    async def _perform(self, endpoint: Endpoint, context: RequestContext, payload: Any) -> Answer:
        """The steps from a known operation and caller to the answer."""
        protocol, service, name, request_id = endpoint.protocol, endpoint.service, context.operation, context.request_id
        operation = endpoint.operation(name)
        if operation is None:
            return self._error(protocol, _not_implemented(service.name, name), request_id)
        self._calls[service.name, name] += 1
        try:
            params = operation.parse(payload)
            self._authorizer.authorize(context, params)
            if service.name == "ec2" and params.get("DryRun"):
                raise ServiceError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
            result: Any = operation.handler(context, params)
            if result is not None and type(result) is not dict and isawaitable(result):
                result = await result
            if isinstance(result, EventStream) and isinstance(protocol, JsonProtocol):
                serialize = protocol.event_serializer(endpoint.model.operations[name])
                events = event_stream.encoded(result, serialize, protocol.content_type)
                return Answer(operation.status, event_stream.CONTENT_TYPE, events, list(protocol.headers))
            handled: Result | None = result
            body = operation.serialize(handled, request_id)
            return Answer(operation.status, protocol.content_type, body, list(protocol.headers))
        except ServiceError as error:
            return self._error(protocol, endpoint.fault(error), request_id)
        except Exception as error:
            mapped = self._error_mapper(error)
            if mapped is None:
                mapped = _internal(error, context)
            elif mapped.status >= 500:
                if mapped.code == INTERNAL:
                    code = INTERNAL_CODES.get(context.service, INTERNAL)
                    mapped = ServiceError(code, mapped.message, mapped.status)
                log.error("%s %s failed: %s", context.service, context.operation, error, extra={"request": request_id})
            return self._error(protocol, endpoint.fault(mapped), request_id)

    # The steps

    async def _read_body(self, headers: Mapping[str, str], receive: Receive) -> bytes | Fault | None:
        """The body, or the fault of a body that is too long or too slow, or None if the client went away."""
        length = headers.get("content-length")
        if length is not None and length.isdecimal() and int(length) > self._max_body_bytes:
            return self._too_large()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                message = await receive()
                body: bytes = message.get("body", b"")
                if not message.get("more_body"):
                    return body if message["type"] == "http.request" else None
                chunks, size = [body], len(body)
                while message.get("more_body"):
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > self._max_body_bytes:
                        return self._too_large()
                return b"".join(chunks)
        except TimeoutError:
            return Fault("RequestTimeout", f"The request was not sent within {BODY_TIMEOUT_S:.0f} seconds.", 408, {})

    def _too_large(self) -> Fault:
        return Fault(
            "RequestEntityTooLarge",
            f"The request body is larger than the {self._max_body_bytes} bytes that are accepted.",
            413,
            {},
        )

    def _account(self, access_key_id: str) -> str:
        """Whose a key is that is no session's."""
        return access_key_id if is_account_id(access_key_id) else self._default_account

    def _extension(self, path: str) -> Extension | None:
        exact = self._exact.get(path)
        if exact is not None:
            return exact
        for prefix, run in self._prefixes:
            if path.startswith(prefix):
                return run
        return None

    def _foreign(self, request: Request) -> str | None:
        """Why the request must come from a web page of another site, or None.

        Where any credentials will do, a browser on this machine is the only thing between a page on the internet and
        the endpoint: a form can be posted across sites, and a name can be made to point here (DNS rebinding).
        """
        host = request.headers.get("host", "")
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return f"Requests from pages of another site ({origin}) are refused."
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return "Requests from pages of another site are refused."
        name = _host_name(host)
        if not self._takes_any_key:
            return None
        if name and name not in self._trusted_hosts and not _is_local_name(name):
            return (
                f"The endpoint does not answer to the name {name!r} while it accepts any credentials. "
                "Use its address, localhost, or a name of one label."
            )
        return None

    async def _extend(self, extension: Extension, request: Request, request_id: str) -> Answer:
        is_free = self._takes_any_key or request.path in self._free or self._bears_token(request)
        if self._auth is not None and not is_free:
            try:
                session = self._auth.verify(request, read_credential(request))
            except SignatureError as error:
                return self._refuse(request, Fault("AccessDenied", error.message, 403, {}), request_id)
            if session is not None:
                said = f"{session.arn} is a session; this takes the instance's own key."
                return self._refuse(request, Fault("AccessDenied", said, 403, {}), request_id)
        return await self._run(extension, request.path, request, request_id)

    async def _run(self, extension: Extension, path: str, request: Request, request_id: str) -> Answer:
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        try:
            status, content_type, body = await extension(request.method, path, query, request.body)
        except Exception:
            log.exception("%s %s failed", request.method, path, extra={"request": request_id})
            text = f"{path} failed; Portside's log has the cause (request {request_id}).\n"
            return Answer(500, "text/plain; charset=utf-8", text.encode())
        return Answer(status, content_type, body)

    async def _receive(self, receiver: Receiver, request: Request, request_id: str) -> Answer:
        account, region = self._default_account, self._default_region
        given = request.headers.get("authorization", "")
        is_known = self._takes_any_key or self._bears_token(request)
        if given.startswith("Bearer ") and not is_known:
            words = "The token is not the one in the file otlp-token of Portside's data directory"
            return self._refuse(request, Fault("AccessDenied", words, 403, {}), request_id)
        try:
            if given.startswith("AWS4-") or not is_known:
                credential = read_credential(request)
                principal = self._auth.verify(request, credential) if self._auth is not None else None
                account = principal.account if principal is not None else self._account(credential.access_key_id)
                region = credential.region or region
            request.content = self._decode(request)
        except SignatureError as error:
            return self._refuse(request, Fault("AccessDenied", error.message, 403, {}), request_id)
        except ServiceError as error:
            return self._refuse(request, Fault(error.code, error.message, error.status, {}), request_id)
        try:
            status, content_type, body = await receiver(request, account, region)
        except Exception:
            log.exception("%s failed", request.path, extra={"request": request_id})
            return Answer(500, "text/plain; charset=utf-8", f"Portside's log has the cause ({request_id}).\n".encode())
        return Answer(status, content_type, body)

    def _bears_token(self, request: Request) -> bool:
        token = self._tokens.get(request.path, "")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        is_given = hmac.compare_digest(given.strip().encode(), token.encode())
        method = "POST" if request.path in self._receivers else "GET"
        return bool(token) and request.method == method and scheme.lower() == "bearer" and is_given

    def _decode(self, request: Request) -> bytes:
        """The body without its content encoding: clients compress some requests."""
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if encoding in ("", "identity", "aws-chunked"):
            return request.body
        if encoding != "gzip":
            raise ServiceError("UnsupportedMediaType", f"Content-Encoding {encoding!r} is not supported; use gzip", 415)
        inflate = zlib.decompressobj(wbits=31)
        try:
            content = inflate.decompress(request.body, self._max_body_bytes + 1)
        except zlib.error as error:
            raise ServiceError("SerializationException", f"The request body is not valid gzip: {error}") from None
        if len(content) > self._max_body_bytes:
            fault = self._too_large()
            raise ServiceError(fault.code, fault.message, fault.status)
        if not inflate.eof:
            raise ServiceError("SerializationException", "The request body is cut off: its gzip stream does not end")
        return content

    def _error(self, protocol: WireProtocol, fault: Fault, request_id: str) -> Answer:
        return Answer(
            fault.status,
            protocol.content_type,
            protocol.error(fault, request_id),
            [(b"x-amzn-errortype", fault.code.encode("latin-1", "replace")), *protocol.headers],
        )

    def _refuse(self, request: Request, fault: Fault, request_id: str) -> Answer:
        """An error before a service is known, in the form that the request looks like."""
        return self._error(_guess_protocol(request), fault, request_id)


async def _send(answer: Answer, request_id: str, receive: Receive, send: Send) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"x-amzn-requestid", request_id.encode()),
        *answer.headers,
    ]
    body = answer.body
    if isinstance(body, bytes):
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    stream = body

    async def pump(chunks: AsyncIterator[bytes]) -> None:
        try:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    # A stream may wait for ever for its next chunk, so the client's leaving has to be watched for beside it.
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(pump(stream), name=f"stream {request_id}")

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            pumping.cancel()

        watching = group.create_task(watch(), name=f"watch {request_id}")
        pumping.add_done_callback(lambda _: watching.cancel())


def _internal(error: Exception, context: RequestContext) -> ServiceError:
    log.error(
        "%s %s failed (request %s): a bug", context.service, context.operation, context.request_id, exc_info=error
    )
    return ServiceError(
        INTERNAL_CODES.get(context.service, INTERNAL),
        f"Portside failed in {context.service}:{context.operation}: {type(error).__name__}: {error}. "
        f"This is a bug in Portside; its log has the traceback (request {context.request_id}).",
        500,
    )


def _asked_service(signing_name: str, request: Request) -> str:
    """botocore's name of the service; empty for one that we do not know."""
    name = SERVICE_OF_SIGNING_NAME.get(signing_name, "")
    for version, other in SERVICE_OF_VERSION.get(name, {}).items():
        if f"Version={version}" in request.query or f"Version={version}".encode() in request.body:
            return other
    return name


def _not_implemented(service: str, operation: str | None) -> Fault:
    what = f"{service}:{operation}" if operation else f"the service {service}"
    return Fault("NotImplemented", f"Portside does not implement {what}. {COVERAGE} lists what it does.", 501, {})


def _named(request: Request) -> str | None:
    """The operation that a request of an unknown service seems to name."""
    target = request.headers.get("x-amz-target")
    if target:
        return target.rpartition(".")[2]
    if request.headers.get("smithy-protocol") == RPC_V2_CBOR:
        return request.path.rpartition("/")[2]
    return _action(request)


def _action(request: Request) -> str | None:
    """The operation, as the query protocols name it."""
    return dict(parse_qsl(request.query)).get("Action") or dict(parse_qsl(request.body[:4096].decode("latin-1"))).get(
        "Action"
    )


def _spoken(service: str, request: Request) -> str:
    """The protocol of a request, of those that its service has: clients of different ages speak different ones.

    One that we do not have is answered in one that we have, as the gateway would answer any body that is not of it."""
    metadata = load_model(service).metadata
    known = [each for each in metadata.protocols or (metadata.protocol,) if each in PROTOCOLS]
    if "smithy-rpc-v2-cbor" in known:
        if request.headers.get("smithy-protocol") == RPC_V2_CBOR:
            return "smithy-rpc-v2-cbor"
        known.remove("smithy-rpc-v2-cbor")
    if len(known) > 1 and "query" in known and "x-amz-target" not in request.headers:
        return "query"
    return known[0]


def _guess_protocol(request: Request) -> WireProtocol:
    """The protocol that a request looks like, to answer an error in."""
    headers = request.headers
    if headers.get("smithy-protocol") == RPC_V2_CBOR:
        return CborProtocol(None)
    if "x-amz-target" in headers or "json" in headers.get("content-type", ""):
        return JsonProtocol(None)
    if f"Version={EC2_VERSION}" in request.query or f"Version={EC2_VERSION}".encode() in request.body:
        return Ec2Protocol(None)
    try:
        name = read_credential(request).service
    except SignatureError:
        return QueryProtocol(None)
    if name == "ec2":
        return Ec2Protocol(None)
    # What names its operation by none of these does so by method and path.
    return QueryProtocol(None) if name in XML_SERVICES or _action(request) else RestJsonProtocol(None)


def _is_visit(request: Request) -> bool:
    """Whether somebody opened the address in a browser, or with curl."""
    return request.path == "/" and "authorization" not in request.headers and not request.query


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower().rstrip(".")


def _is_local_name(name: str) -> bool:
    """An address, localhost and what is below it, or a name of one label (a container's): no name in the public DNS."""
    if "." not in name and ":" not in name:
        return True
    if name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
