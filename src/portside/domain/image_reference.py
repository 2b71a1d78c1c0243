"""Image names: what a task definition says, and under which full names the image may be present or pulled."""

import ipaddress
import re
from dataclasses import dataclass

DEFAULT_REGISTRY = "docker.io"
LOCAL_REGISTRY = "localhost"


@dataclass(frozen=True, slots=True)
class Reference:
    """`registry` is None where the name does not say one. One of tag and digest is used: the digest if given."""

    registry: str | None
    repository: str
    tag: str
    digest: str | None

    @property
    def _suffix(self) -> str:
        return f"@{self.digest}" if self.digest else f":{self.tag}"

    @property
    def canonical(self) -> str:
        """The full name that a pull asks for: docker.io and library/ filled in, as Docker does."""
        registry = self.registry or DEFAULT_REGISTRY
        repository = self.repository
        if registry == DEFAULT_REGISTRY and "/" not in repository:
            repository = f"library/{repository}"
        return f"{registry}/{repository}{self._suffix}"

    @property
    def local_names(self) -> tuple[str, ...]:
        """Full names to look for in local storage, in order: what was built here wins over what was pulled."""
        if self.registry is None:
            return (f"{LOCAL_REGISTRY}/{self.repository}{self._suffix}", self.canonical)
        return (self.canonical,)

    @property
    def on_loopback(self) -> bool:
        """A registry of this very machine may speak plain HTTP, as for Docker."""
        host = re.sub(r":\d+$", "", self.registry or "").strip("[]")
        if host == LOCAL_REGISTRY:
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False  # a name, however much it looks like an address

    @property
    def pullable(self) -> bool:
        """Images under localhost/ exist nowhere else."""
        return self.registry != LOCAL_REGISTRY


def parse(text: str) -> Reference:
    """Split `[registry/]repository[:tag][@digest]`. Never raises: a name that no registry accepts is refused by it.

    Source: https://github.com/distribution/reference, the rule that the first part is a registry if it has a dot or a
    colon or is localhost."""
    name, _, digest = text.partition("@")
    head, slash, rest = name.partition("/")
    registry: str | None = None
    if slash and ("." in head or ":" in head or head == LOCAL_REGISTRY):
        registry, name = head, rest
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, "latest"
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DEFAULT_REGISTRY
    return Reference(registry, repository, tag, digest or None)
