/** The targets of a group: what the last check of each said and when; they are registered and deregistered here. */

import Button from "@cloudscape-design/components/button";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import { useState } from "react";
import type { Target } from "../api/elb";
import { useHere } from "../context";
import { counted, secondsOf, time } from "../format";
import { isPort } from "../typed";
import { Act } from "./act";
import { Status } from "./status";

interface Props {
  group: { name: string; arn: string; protocol: string; port: number };
  targets: Target[];
  /** Of Classic Load Balancers the targets are instances, which other operations register. */
  isReadOnly?: boolean;
}

export function Targets({ group, targets, isReadOnly }: Props) {
  const { to } = useHere();
  const [isNew, setNew] = useState(false);
  const [gone, setGone] = useState<Target>();
  const healthy = targets.filter((each) => each.state === "healthy").length;
  return (
    <>
      <Table<Target>
        header={
          <Header
            variant="h2"
            counter={`(${targets.length})`}
            description={`Target group, ${group.protocol} ${group.port}: ${healthy} of ${counted(targets.length, "target")} healthy`}
            actions={
              isReadOnly ? undefined : (
                <Button ariaLabel={`Register a target in ${group.name}`} onClick={() => setNew(true)}>
                  Register a target
                </Button>
              )
            }
          >
            {isReadOnly ? (
              group.name
            ) : (
              <Link fontSize="heading-m" href={to(["target-groups", group.name])}>
                {group.name}
              </Link>
            )}
          </Header>
        }
        items={targets}
        trackBy={(each) => `${each.id}:${each.port}`}
        wrapLines
        empty="No target"
        columnDefinitions={[
          { id: "id", header: "Target", cell: (each) => `${each.id}:${each.port}`, isRowHeader: true },
          { id: "state", header: "Health", cell: (each) => <Status of={each.state.toUpperCase()} /> },
          { id: "zone", header: "Zone", cell: (each) => each.zone || "–" },
          {
            id: "why",
            header: "Why",
            cell: (each) => [each.description, each.reason && `(${each.reason})`].filter(Boolean).join(" ") || "–",
          },
          { id: "checked", header: "Last check", cell: (each) => time(secondsOf(each.checkedAt)) },
          {
            id: "gone",
            header: "Change",
            cell: (each) =>
              isReadOnly ? (
                "–"
              ) : (
                <Button variant="inline-link" ariaLabel={`Deregister ${each.id}:${each.port}`} onClick={() => setGone(each)}>
                  Deregister
                </Button>
              ),
          },
        ]}
      />
      {isNew && <Register group={group} onClose={() => setNew(false)} />}
      {gone && (
        <Act
          title={`Deregister ${gone.id}:${gone.port}?`}
          word="Deregister"
          service="elbv2"
          operation="DeregisterTargets"
          parameters={{ TargetGroupArn: group.arn, Targets: [{ Id: gone.id, Port: gone.port || undefined }] }}
          onClose={() => setGone(undefined)}
        >
          It gets no new requests; those that are under way have the group's deregistration delay to end.
        </Act>
      )}
    </>
  );
}

function Register({ group, onClose }: { group: Props["group"]; onClose: () => void }) {
  const [id, setId] = useState("");
  const [port, setPort] = useState(String(group.port));
  return (
    <Act
      title={`Register a target in ${group.name}`}
      word="Register"
      service="elbv2"
      operation="RegisterTargets"
      parameters={{ TargetGroupArn: group.arn, Targets: [{ Id: id, Port: Number(port) }] }}
      isReady={id !== "" && isPort(port)}
      onClose={onClose}
    >
      <SpaceBetween size="l">
        <FormField label="Target" description="An address, or an instance's id, by the group's target type">
          <Input value={id} onChange={({ detail }) => setId(detail.value.trim())} />
        </FormField>
        <FormField label="Port" errorText={isPort(port) ? undefined : "1 to 65535"}>
          <Input value={port} onChange={({ detail }) => setPort(detail.value)} inputMode="numeric" />
        </FormField>
      </SpaceBetween>
    </Act>
  );
}
