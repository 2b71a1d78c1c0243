/** The security groups of a VPC; one is made and deleted here. */

import Button from "@cloudscape-design/components/button";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import { useState } from "react";
import { type SecurityGroup, securityGroups } from "../api/ec2";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { Act } from "./act";
import { List } from "./list";

export function SecurityGroupList({ vpc }: { vpc: string }) {
  const { region, to } = useHere();
  const live = useLive(
    async () => (await securityGroups(region)).filter((each) => each.VpcId === vpc),
    { kinds: ["security_group"] },
    [region, vpc],
  );
  const [isNew, setNew] = useState(false);
  const [deleted, setDeleted] = useState<SecurityGroup>();
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  return (
    <>
      <List<SecurityGroup>
        title="Security groups"
        noun="security group"
        live={live}
        keyOf={(each) => each.GroupId}
        actions={<Button onClick={() => setNew(true)}>Create security group</Button>}
        columns={[
          {
            id: "name",
            header: "Security group",
            cell: (each) => <Link href={to(["security-groups", each.GroupId])}>{each.GroupName}</Link>,
            sortingField: "GroupName",
            isRowHeader: true,
          },
          { id: "id", header: "Id", cell: (each) => each.GroupId, sortingField: "GroupId" },
          { id: "in", header: "In", cell: (each) => each.IpPermissions?.length ?? 0 },
          { id: "out", header: "Out", cell: (each) => each.IpPermissionsEgress?.length ?? 0 },
          {
            id: "delete",
            header: "Change",
            cell: (each) => (
              <Button variant="inline-link" ariaLabel={`Delete ${each.GroupName}`} onClick={() => setDeleted(each)}>
                Delete
              </Button>
            ),
          },
        ]}
      />
      {isNew && (
        <Act<{ GroupId: string }>
          title="Create a security group"
          word="Create"
          service="ec2"
          operation="CreateSecurityGroup"
          parameters={{ GroupName: name, Description: description, VpcId: vpc }}
          isReady={name !== "" && description !== ""}
          onClose={() => setNew(false)}
          onDone={({ GroupId }) => {
            location.hash = to(["security-groups", GroupId]);
          }}
        >
          <FormField label="Name">
            <Input value={name} onChange={({ detail }) => setName(detail.value)} />
          </FormField>
          <FormField label="Description">
            <Input value={description} onChange={({ detail }) => setDescription(detail.value)} />
          </FormField>
        </Act>
      )}
      {deleted && (
        <Act
          title={`Delete ${deleted.GroupName}?`}
          word="Delete"
          service="ec2"
          operation="DeleteSecurityGroup"
          parameters={{ GroupId: deleted.GroupId }}
          onClose={() => setDeleted(undefined)}
        >
          It goes with its rules. One that something is in can not be deleted.
        </Act>
      )}
    </>
  );
}
