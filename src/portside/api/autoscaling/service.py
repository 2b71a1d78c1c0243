"""Application Auto Scaling: what is implemented, in one list."""

from portside.api.autoscaling.scaling import Scaling
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store


def autoscaling_service(store: Store, clock: Clock, ids: Ids) -> Service:
    """The service and its operations."""
    return Service(
        "application-autoscaling",
        Scaling(store, clock, ids).handlers(),
        partial={
            "RegisterScalableTarget": "services of ECS",
            "PutScalingPolicy": "StepScaling; TargetTrackingScaling by CPU, memory, requests or a metric of your own, "
            "no metric math, the alarms behind it are not shown; no predictive scaling",
            "DescribeScalingActivities": "reasons for not scaling are not told",
        },
    )
