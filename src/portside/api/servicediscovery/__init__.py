"""AWS Cloud Map: handlers of the `servicediscovery` API."""
