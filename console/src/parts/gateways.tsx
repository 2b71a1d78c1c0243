/** Internet gateways and NAT gateways of a VPC. */

import Button from "@cloudscape-design/components/button";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { addresses, subnetOption, subnets } from "../api/ec2";
import { useLive } from "../api/live";
import { type InternetGateway, internetGateways, type NatGateway, nameTag, natGateways, titleOf } from "../api/vpc";
import { useHere } from "../context";
import { Act } from "./act";
import { List } from "./list";
import { Status } from "./status";

const isAttached = (gateway: InternetGateway) => gateway.Attachments.length > 0;

export function InternetGatewayList({ vpc }: { vpc: string }) {
  const { region } = useHere();
  const live = useLive(() => internetGateways(region, vpc), { kinds: ["internet_gateway"] }, [region, vpc]);
  const [isNew, setNew] = useState(false);
  const [name, setName] = useState("");
  const [asked, setAsked] = useState<["attach" | "detach" | "delete", string]>();
  const close = () => setAsked(undefined);
  const hasOne = live.value?.some(isAttached) ?? true;
  return (
    <>
      <List<InternetGateway>
        title="Internet gateways"
        noun="internet gateway"
        live={live}
        keyOf={(each) => each.InternetGatewayId}
        description="The VPC's own, and those that are free"
        actions={<Button onClick={() => setNew(true)}>Create internet gateway</Button>}
        columns={[
          {
            id: "id",
            header: "Internet gateway",
            cell: (each) => titleOf(each.InternetGatewayId, each.Tags),
            sortingField: "InternetGatewayId",
            isRowHeader: true,
          },
          { id: "state", header: "State", cell: (each) => (isAttached(each) ? "Attached" : "Free") },
          {
            id: "change",
            header: "Change",
            cell: ({ InternetGatewayId: id, ...each }) => (
              <SpaceBetween direction="horizontal" size="s">
                {each.Attachments.length > 0 ? (
                  <Button variant="inline-link" ariaLabel={`Detach ${id}`} onClick={() => setAsked(["detach", id])}>
                    Detach
                  </Button>
                ) : (
                  <>
                    <Button variant="inline-link" ariaLabel={`Attach ${id}`} disabled={hasOne} onClick={() => setAsked(["attach", id])}>
                      Attach
                    </Button>
                    <Button variant="inline-link" ariaLabel={`Delete ${id}`} onClick={() => setAsked(["delete", id])}>
                      Delete
                    </Button>
                  </>
                )}
              </SpaceBetween>
            ),
          },
        ]}
      />
      {isNew && (
        <Act
          title="Create an internet gateway"
          word="Create"
          service="ec2"
          operation="CreateInternetGateway"
          parameters={{ TagSpecifications: nameTag("internet-gateway", name) }}
          onClose={() => setNew(false)}
        >
          It is free until it is attached.
          <FormField label="Name">
            <Input value={name} onChange={({ detail }) => setName(detail.value)} />
          </FormField>
        </Act>
      )}
      {asked?.[0] === "attach" && (
        <Act
          title={`Attach ${asked[1]} to ${vpc}`}
          word="Attach"
          service="ec2"
          operation="AttachInternetGateway"
          parameters={{ InternetGatewayId: asked[1], VpcId: vpc }}
          onClose={close}
        >
          Subnets whose route tables have a route by it lead to the internet from then on.
        </Act>
      )}
      {asked?.[0] === "detach" && (
        <Act
          title={`Detach ${asked[1]}?`}
          word="Detach"
          service="ec2"
          operation="DetachInternetGateway"
          parameters={{ InternetGatewayId: asked[1], VpcId: vpc }}
          onClose={close}
        >
          Routes by it lead nowhere from then on. It can not be detached while something in the VPC has a public address.
        </Act>
      )}
      {asked?.[0] === "delete" && (
        <Act
          title={`Delete ${asked[1]}?`}
          word="Delete"
          service="ec2"
          operation="DeleteInternetGateway"
          parameters={{ InternetGatewayId: asked[1] }}
          onClose={close}
        >
          There is no way back; another one can be made.
        </Act>
      )}
    </>
  );
}

export function NatGatewayList({ vpc }: { vpc: string }) {
  const { region, to } = useHere();
  const live = useLive(() => natGateways(region, vpc), { kinds: ["nat_gateway"] }, [region, vpc]);
  const [isNew, setNew] = useState(false);
  const [deleted, setDeleted] = useState<string>();
  return (
    <>
      <List<NatGateway>
        title="NAT gateways"
        noun="NAT gateway"
        live={live}
        keyOf={(each) => each.NatGatewayId}
        actions={<Button onClick={() => setNew(true)}>Create NAT gateway</Button>}
        columns={[
          { id: "id", header: "NAT gateway", cell: (each) => each.NatGatewayId, sortingField: "NatGatewayId", isRowHeader: true },
          { id: "state", header: "State", cell: (each) => <Status of={each.State.toUpperCase()} /> },
          { id: "subnet", header: "Subnet", cell: (each) => each.SubnetId },
          {
            id: "address",
            header: "Address",
            cell: (each) => {
              const one = each.NatGatewayAddresses?.[0];
              return one?.NetworkInterfaceId ? <Link href={to(["networks", one.NetworkInterfaceId])}>{one.PrivateIp}</Link> : "–";
            },
          },
          { id: "public", header: "Public address", cell: (each) => each.NatGatewayAddresses?.[0]?.PublicIp ?? "None: private" },
          {
            id: "change",
            header: "Change",
            cell: (each) => (
              <Button
                variant="inline-link"
                ariaLabel={`Delete ${each.NatGatewayId}`}
                disabled={each.State === "deleting"}
                onClick={() => setDeleted(each.NatGatewayId)}
              >
                Delete
              </Button>
            ),
          },
        ]}
      />
      {isNew && <CreateNatGateway vpc={vpc} onClose={() => setNew(false)} />}
      {deleted && (
        <Act
          title={`Delete ${deleted}?`}
          word="Delete"
          service="ec2"
          operation="DeleteNatGateway"
          parameters={{ NatGatewayId: deleted }}
          onClose={() => setDeleted(undefined)}
        >
          What goes out by it is cut off. Its Elastic address stays the account's; routes by it lead nowhere until they are removed.
        </Act>
      )}
    </>
  );
}

const KINDS = [
  { value: "public", label: "Public: to the internet, by an Elastic address" },
  { value: "private", label: "Private: with an address of its subnet" },
];

function CreateNatGateway({ vpc, onClose }: { vpc: string; onClose: () => void }) {
  const { region } = useHere();
  const known = useLive(
    async () => {
      const [all, allAddresses] = await Promise.all([subnets(region), addresses(region)]);
      return {
        subnets: all.filter((each) => each.VpcId === vpc).map(subnetOption),
        addresses: allAddresses
          .filter((each) => !each.AssociationId)
          .map((each) => ({ value: each.AllocationId, label: each.PublicIp, description: each.AllocationId })),
      };
    },
    { kinds: ["subnet", "elastic_address"] },
    [region, vpc],
  );
  const [kind, setKind] = useState("public");
  const [subnet, setSubnet] = useState("");
  const [address, setAddress] = useState("");
  const isPublic = kind === "public";
  return (
    <Act
      title={`Create a NAT gateway of ${vpc}`}
      word="Create"
      service="ec2"
      operation="CreateNatGateway"
      parameters={{ SubnetId: subnet, ConnectivityType: kind, AllocationId: isPublic ? address : undefined }}
      isReady={subnet !== "" && (!isPublic || address !== "")}
      onClose={onClose}
    >
      <FormField label="Kind">
        <Select
          selectedOption={KINDS.find((each) => each.value === kind) ?? null}
          options={KINDS}
          onChange={({ detail }) => setKind(detail.selectedOption.value ?? "public")}
        />
      </FormField>
      <FormField label="Subnet" description="One that leads out itself" errorText={known.error?.message}>
        <Select
          selectedOption={known.value?.subnets.find((each) => each.value === subnet) ?? null}
          options={known.value?.subnets ?? []}
          onChange={({ detail }) => setSubnet(detail.selectedOption.value ?? "")}
          placeholder="Choose one"
          empty="The VPC has no subnet"
        />
      </FormField>
      {isPublic && (
        <FormField label="Elastic address" description="One that is free">
          <Select
            selectedOption={known.value?.addresses.find((each) => each.value === address) ?? null}
            options={known.value?.addresses ?? []}
            onChange={({ detail }) => setAddress(detail.selectedOption.value ?? "")}
            placeholder="Choose one"
            empty="No address is free: allocate one on the page of networks"
          />
        </FormField>
      )}
    </Act>
  );
}
