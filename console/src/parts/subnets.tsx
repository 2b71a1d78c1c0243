/** The subnets of a VPC: where they lead, and what network ACLs say of them; they are made, changed and deleted here. */

import Button from "@cloudscape-design/components/button";
import Checkbox from "@cloudscape-design/components/checkbox";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { subnets as readSubnets } from "../api/ec2";
import { type Live, useLive } from "../api/live";
import type { SubnetView } from "../api/network";
import { zones } from "../api/storage";
import { nameTag, titleOf } from "../api/vpc";
import { useHere } from "../context";
import { isBlock } from "../typed";
import { Act } from "./act";
import { List } from "./list";

export function SubnetList({ vpc, subnets }: { vpc: string; subnets: Live<SubnetView[]> }) {
  const { region } = useHere();
  const known = useLive(() => readSubnets(region), { kinds: ["subnet"] }, [region]);
  const [isNew, setNew] = useState(false);
  const [changed, setChanged] = useState<string>();
  const [deleted, setDeleted] = useState<string>();
  const of = (id: string) => known.value?.find((each) => each.SubnetId === id);
  const givesPublic = (id: string) => of(id)?.MapPublicIpOnLaunch;
  return (
    <>
      <List<SubnetView>
        title="Subnets"
        noun="subnet"
        live={subnets}
        keyOf={(each) => each.id}
        wrapLines
        actions={<Button onClick={() => setNew(true)}>Create subnet</Button>}
        columns={[
          { id: "id", header: "Subnet", cell: (each) => titleOf(each.id, of(each.id)?.Tags), sortingField: "id", isRowHeader: true },
          { id: "zone", header: "Zone", cell: (each) => each.zone, sortingField: "zone" },
          { id: "block", header: "Addresses", cell: (each) => each.cidrBlock, sortingField: "cidrBlock" },
          { id: "interfaces", header: "Interfaces", cell: (each) => each.interfaces.length },
          {
            id: "routes",
            header: "Routes",
            cell: (each) => each.routes.map((one) => `${one.destination} by ${one.to}`).join(", ") || "No way out",
          },
          { id: "table", header: "Route table", cell: (each) => each.routeTable ?? "–" },
          {
            id: "acl",
            header: "Network ACL",
            cell: (each) => (each.entries.length ? `${each.networkAcl}: ${each.entries.join("; ")}` : `${each.networkAcl ?? "None"}: lets all pass`),
          },
          { id: "public", header: "Public addresses", cell: (each) => ({ true: "Given", false: "Not given" })[String(givesPublic(each.id))] ?? "–" },
          {
            id: "change",
            header: "Change",
            cell: (each) => (
              <SpaceBetween direction="horizontal" size="s">
                <Button variant="inline-link" ariaLabel={`Change ${each.id}`} onClick={() => setChanged(each.id)}>
                  Change
                </Button>
                <Button variant="inline-link" ariaLabel={`Delete ${each.id}`} onClick={() => setDeleted(each.id)}>
                  Delete
                </Button>
              </SpaceBetween>
            ),
          },
        ]}
      />
      {isNew && <CreateSubnet vpc={vpc} onClose={() => setNew(false)} />}
      {changed && <ChangeSubnet id={changed} now={givesPublic(changed) ?? false} onClose={() => setChanged(undefined)} />}
      {deleted && (
        <Act
          title={`Delete ${deleted}?`}
          word="Delete"
          service="ec2"
          operation="DeleteSubnet"
          parameters={{ SubnetId: deleted }}
          onClose={() => setDeleted(undefined)}
        >
          One that something has an address in can not be deleted.
        </Act>
      )}
    </>
  );
}

function CreateSubnet({ vpc, onClose }: { vpc: string; onClose: () => void }) {
  const { region } = useHere();
  const known = useLive(() => zones(region), { kinds: [] }, [region]);
  const [name, setName] = useState("");
  const [block, setBlock] = useState("");
  const [chosen, setChosen] = useState("");
  const zone = chosen || known.value?.[0]?.ZoneName || "";
  return (
    <Act
      title={`Create a subnet of ${vpc}`}
      word="Create"
      service="ec2"
      operation="CreateSubnet"
      parameters={{ VpcId: vpc, CidrBlock: block, AvailabilityZone: zone, TagSpecifications: nameTag("subnet", name) }}
      isReady={isBlock(block) && zone !== ""}
      onClose={onClose}
    >
      <FormField label="Name">
        <Input value={name} onChange={({ detail }) => setName(detail.value)} />
      </FormField>
      <FormField label="Zone" errorText={known.error?.message}>
        <Select
          selectedOption={zone ? { value: zone, label: zone } : null}
          options={known.value?.map((each) => ({ value: each.ZoneName, label: each.ZoneName })) ?? []}
          onChange={({ detail }) => setChosen(detail.selectedOption.value ?? "")}
        />
      </FormField>
      <FormField label="Block" description="A part of the VPC's addresses" errorText={isBlock(block) || block === "" ? undefined : "As 10.0.1.0/24"}>
        <Input value={block} onChange={({ detail }) => setBlock(detail.value.trim())} />
      </FormField>
    </Act>
  );
}

function ChangeSubnet({ id, now, onClose }: { id: string; now: boolean; onClose: () => void }) {
  const [givesPublic, setPublic] = useState(now);
  return (
    <Act
      title={`Change ${id}`}
      word="Change"
      service="ec2"
      operation="ModifySubnetAttribute"
      parameters={{ SubnetId: id, MapPublicIpOnLaunch: { Value: givesPublic } }}
      shown={{ MapPublicIpOnLaunch: givesPublic }}
      isReady={givesPublic !== now}
      onClose={onClose}
    >
      <Checkbox checked={givesPublic} onChange={({ detail }) => setPublic(detail.checked)}>
        Instances that are launched in it get a public address
      </Checkbox>
    </Act>
  );
}
