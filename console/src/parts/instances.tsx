/** The container instances of a cluster, with what they have left; they can be drained, made active again, deregistered and terminated. */

import Button from "@cloudscape-design/components/button";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { type ContainerInstance, containerInstances, remaining } from "../api/ecs";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { memory, nameOf, vcpu } from "../format";
import { Act } from "./act";
import { List } from "./list";
import { Status } from "./status";

export function InstanceList({ cluster }: { cluster: string }) {
  const { region } = useHere();
  const live = useLive(
    () => containerInstances(region, cluster),
    { kinds: ["container_instance", "instance", "task"] },
    [region, cluster],
  );
  const [changed, setChanged] = useState<ContainerInstance>();
  const [ended, setEnded] = useState<ContainerInstance>();
  const [removed, setRemoved] = useState<ContainerInstance>();
  const isActive = changed?.status === "ACTIVE";
  const state = isActive ? "DRAINING" : "ACTIVE";
  return (
    <>
      <List<ContainerInstance>
        title="Container instances"
        noun="container instance"
        live={live}
        keyOf={(each) => each.containerInstanceArn}
        columns={[
          { id: "id", header: "Instance", cell: (each) => each.ec2InstanceId, isRowHeader: true, sortingField: "ec2InstanceId" },
          { id: "status", header: "Status", cell: (each) => <Status of={each.status} />, sortingField: "status" },
          { id: "agent", header: "Agent", cell: (each) => (each.agentConnected ? "Connected" : "Not connected") },
          { id: "running", header: "Running", cell: (each) => each.runningTasksCount, sortingField: "runningTasksCount" },
          { id: "pending", header: "Pending", cell: (each) => each.pendingTasksCount, sortingField: "pendingTasksCount" },
          { id: "cpu", header: "CPU left", cell: (each) => vcpu(remaining(each, "CPU")) },
          { id: "memory", header: "Memory left", cell: (each) => memory(remaining(each, "MEMORY")) },
          {
            id: "change",
            header: "Change",
            cell: (each) => (
              <SpaceBetween direction="horizontal" size="s">
                <Button
                  variant="inline-link"
                  ariaLabel={`${each.status === "ACTIVE" ? "Drain" : "Activate"} ${each.ec2InstanceId}`}
                  onClick={() => setChanged(each)}
                >
                  {each.status === "ACTIVE" ? "Drain" : "Activate"}
                </Button>
                <Button variant="inline-link" ariaLabel={`Deregister ${each.ec2InstanceId}`} onClick={() => setRemoved(each)}>
                  Deregister
                </Button>
                <Button variant="inline-link" ariaLabel={`Terminate ${each.ec2InstanceId}`} onClick={() => setEnded(each)}>
                  Terminate
                </Button>
              </SpaceBetween>
            ),
          },
        ]}
      />
      {changed && (
        <Act
          title={`${isActive ? "Drain" : "Activate"} ${changed.ec2InstanceId}?`}
          word={isActive ? "Drain" : "Activate"}
          operation="UpdateContainerInstancesState"
          parameters={{ cluster, containerInstances: [nameOf(changed.containerInstanceArn)], status: state }}
          onClose={() => setChanged(undefined)}
        >
          {isActive ? "No task is placed on it any more, and services replace theirs elsewhere." : "Tasks are placed on it again."}
        </Act>
      )}
      {ended && (
        <Act
          title={`Terminate ${ended.ec2InstanceId}?`}
          word="Terminate"
          service="ec2"
          operation="TerminateInstances"
          parameters={{ InstanceIds: [ended.ec2InstanceId] }}
          onClose={() => setEnded(undefined)}
        >
          It goes for good, with the tasks that run on it; drain it first for services to replace theirs.
        </Act>
      )}
      {removed && (
        <Act
          title={`Deregister ${removed.ec2InstanceId}?`}
          word="Deregister"
          operation="DeregisterContainerInstance"
          parameters={{ cluster, containerInstance: nameOf(removed.containerInstanceArn), force: removed.runningTasksCount > 0 || undefined }}
          onClose={() => setRemoved(undefined)}
        >
          The cluster has it no more.{" "}
          {removed.runningTasksCount > 0 && "The tasks that run on it are ended; drain it first for services to replace theirs."}
        </Act>
      )}
    </>
  );
}
