"""`portside env`: the variables that lead AWS tools here."""

from portside.cli.instance import endpoint, find
from portside.settings import Settings


def variables(settings: Settings, *, port_given: bool = False) -> dict[str, str]:
    """The variables, by name. A running daemon's address counts, unless the port was named by hand."""
    instance = None if port_given else find(settings)
    return {
        "AWS_ENDPOINT_URL": instance.url if instance else endpoint(settings.host, settings.port),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": settings.region,
        # Older tools page and ask for instance metadata; neither is wanted here.
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def show(settings: Settings, *, port_given: bool = False) -> None:
    for name, value in variables(settings, port_given=port_given).items():
        print(f"export {name}={value}")
