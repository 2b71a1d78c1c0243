"""`portside env`: the variables that lead AWS tools here."""

from portside import credential
from portside.cli.instance import endpoint, find
from portside.credential import AccessKey
from portside.settings import Settings

ANY_KEY = AccessKey("test", "test")
"""Where signatures are not checked, any key does."""


def variables(settings: Settings, *, port_given: bool = False) -> dict[str, str]:
    """The variables, by name. A running daemon's address counts, unless the port was named by hand."""
    instance = None if port_given else find(settings)
    key = credential.read(settings.data_dir) or ANY_KEY
    return {
        "AWS_ENDPOINT_URL": instance.url if instance else endpoint(settings.host, settings.port),
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "AWS_DEFAULT_REGION": settings.region,
        # Older tools page and ask for instance metadata; neither is wanted here.
        "AWS_EC2_METADATA_DISABLED": "true",
        # DiscoverInstances would go to a host whose name begins with `data-`.
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
    }


def show(settings: Settings, *, port_given: bool = False) -> None:
    for name, value in variables(settings, port_given=port_given).items():
        print(f"export {name}={value}")
