"""What is left on the container instances of each cluster, followed change by change for all that place tasks."""

from dataclasses import dataclass, field

from portside.domain.capacity import Capacity
from portside.domain.container_instance import ContainerInstance
from portside.domain.record import Scope
from portside.domain.table import CONTAINER_INSTANCE, SUBNET, TASK
from portside.domain.task.record import Task
from portside.store.interface import Change, Store


@dataclass
class Instances:
    """`capacity`: of those that may be chosen; `draining`: ids of those that tasks are to leave."""

    capacity: Capacity
    draining: set[str] = field(default_factory=set)


class ClusterInstances:
    """Looked up in the store at the first question about a cluster; then `follow` must see every change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._of: dict[str, Instances] = {}

    def of(self, scope: Scope, cluster: str) -> Instances:
        """Those of the cluster."""
        prefix = f"{scope.prefix}{cluster}/"
        found = self._of.get(prefix)
        if found is None:
            found = Instances(Capacity(subnet=lambda each: self._store.get(SUBNET, f"{scope.prefix}{each}")))
            for each in self._store.scan(CONTAINER_INSTANCE, prefix):
                self._put(found, each)
            self._of[prefix] = found
        return found

    def capacity(self, scope: Scope, cluster: str) -> Capacity:
        return self.of(scope, cluster).capacity

    def forget(self, scope: Scope, cluster: str) -> None:
        """They are looked up again at the next question: a task that was placed has not been made after all."""
        self._of.pop(f"{scope.prefix}{cluster}/", None)

    def follow(self, news: Change) -> None:
        record = news.value or news.old
        if isinstance(record, Task):
            known = self._of.get(f"{record.scope.prefix}{record.cluster}/") if record.placement is not None else None
            if known is not None:
                known.capacity.remove(record) if news.value is None else known.capacity.add(record)
        elif isinstance(record, ContainerInstance):
            known = self._of.get(f"{record.scope.prefix}{record.cluster}/")
            if known is None:
                return
            if news.value is None:
                known.capacity.discard(record.id)
                known.draining.discard(record.id)
            else:
                self._put(known, record)

    def _put(self, known: Instances, instance: ContainerInstance) -> None:
        if instance.status == "ACTIVE":
            known.draining.discard(instance.id)
            known.capacity.put(instance, self._store.find(TASK, "placed", instance.key))
        else:
            known.capacity.discard(instance.id)
            known.draining.add(instance.id)
