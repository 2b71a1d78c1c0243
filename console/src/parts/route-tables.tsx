/** The route tables of a VPC: made and deleted, their routes added and removed, subnets associated. */

import Button from "@cloudscape-design/components/button";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { subnetOption, subnets } from "../api/ec2";
import { useLive } from "../api/live";
import { internetGateways, nameTag, natGateways, type Route, type RouteTable, routeTables, titleOf } from "../api/vpc";
import { useHere } from "../context";
import { isBlock } from "../typed";
import { Act } from "./act";
import { List } from "./list";

const isMain = (table: RouteTable) => table.Associations.some((each) => each.Main);
const subnetsOf = (table: RouteTable) => table.Associations.flatMap((each) => (each.SubnetId ? [{ id: each.RouteTableAssociationId, subnet: each.SubnetId }] : []));
const isLocal = (route: Route) => route.GatewayId === "local";

type Asked = ["route" | "subnet" | "delete", RouteTable] | ["unroute", RouteTable, string] | ["unsubnet", string, string];

export function RouteTableList({ vpc }: { vpc: string }) {
  const { region } = useHere();
  const live = useLive(() => routeTables(region, vpc), { kinds: ["route_table", "vpc"] }, [region, vpc]);
  const [isNew, setNew] = useState(false);
  const [asked, setAsked] = useState<Asked>();
  const close = () => setAsked(undefined);
  return (
    <>
      <List<RouteTable>
        title="Route tables"
        noun="route table"
        live={live}
        keyOf={(each) => each.RouteTableId}
        wrapLines
        actions={<Button onClick={() => setNew(true)}>Create route table</Button>}
        columns={[
          { id: "id", header: "Route table", cell: (each) => titleOf(each.RouteTableId, each.Tags), sortingField: "RouteTableId", isRowHeader: true },
          { id: "main", header: "Main", cell: (each) => (isMain(each) ? "Yes" : "No") },
          {
            id: "routes",
            header: "Routes",
            cell: (table) => (
              <SpaceBetween size="xxs">
                {table.Routes.map((each) => (
                  <div key={each.DestinationCidrBlock}>
                    {`${each.DestinationCidrBlock} by ${each.NatGatewayId ?? each.GatewayId ?? "–"}${each.State === "blackhole" ? ", which leads nowhere" : ""} `}
                    {!isLocal(each) && (
                      <Button
                        variant="inline-link"
                        ariaLabel={`Remove the route to ${each.DestinationCidrBlock} of ${table.RouteTableId}`}
                        onClick={() => setAsked(["unroute", table, each.DestinationCidrBlock])}
                      >
                        Remove
                      </Button>
                    )}
                  </div>
                ))}
              </SpaceBetween>
            ),
          },
          {
            id: "subnets",
            header: "Subnets",
            cell: (table) =>
              subnetsOf(table).length ? (
                <SpaceBetween size="xxs">
                  {subnetsOf(table).map((each) => (
                    <div key={each.id}>
                      {`${each.subnet} `}
                      <Button
                        variant="inline-link"
                        ariaLabel={`Disassociate ${each.subnet}`}
                        onClick={() => setAsked(["unsubnet", each.subnet, each.id])}
                      >
                        Disassociate
                      </Button>
                    </div>
                  ))}
                </SpaceBetween>
              ) : isMain(table) ? (
                "Those without a table of their own"
              ) : (
                "None"
              ),
          },
          {
            id: "change",
            header: "Change",
            cell: (each) => (
              <SpaceBetween direction="horizontal" size="s">
                <Button variant="inline-link" ariaLabel={`Add a route to ${each.RouteTableId}`} onClick={() => setAsked(["route", each])}>
                  Add a route
                </Button>
                <Button variant="inline-link" ariaLabel={`Associate ${each.RouteTableId}`} onClick={() => setAsked(["subnet", each])}>
                  Associate
                </Button>
                {!isMain(each) && (
                  <Button variant="inline-link" ariaLabel={`Delete ${each.RouteTableId}`} onClick={() => setAsked(["delete", each])}>
                    Delete
                  </Button>
                )}
              </SpaceBetween>
            ),
          },
        ]}
      />
      {isNew && <CreateRouteTable vpc={vpc} onClose={() => setNew(false)} />}
      {asked?.[0] === "route" && <AddRoute table={asked[1]} onClose={close} />}
      {asked?.[0] === "subnet" && <Associate table={asked[1]} onClose={close} />}
      {asked?.[0] === "unroute" && (
        <Act
          title={`Remove the route to ${asked[2]}?`}
          word="Remove"
          service="ec2"
          operation="DeleteRoute"
          parameters={{ RouteTableId: asked[1].RouteTableId, DestinationCidrBlock: asked[2] }}
          onClose={close}
        >
          What the table's subnets send there is dropped from then on, unless another route takes it.
        </Act>
      )}
      {asked?.[0] === "unsubnet" && (
        <Act
          title={`Disassociate ${asked[1]}?`}
          word="Disassociate"
          service="ec2"
          operation="DisassociateRouteTable"
          parameters={{ AssociationId: asked[2] }}
          onClose={close}
        >
          The main route table is the subnet's from then on.
        </Act>
      )}
      {asked?.[0] === "delete" && (
        <Act
          title={`Delete ${asked[1].RouteTableId}?`}
          word="Delete"
          service="ec2"
          operation="DeleteRouteTable"
          parameters={{ RouteTableId: asked[1].RouteTableId }}
          onClose={close}
        >
          It goes with its routes. One that subnets are associated with can not be deleted.
        </Act>
      )}
    </>
  );
}

function CreateRouteTable({ vpc, onClose }: { vpc: string; onClose: () => void }) {
  const [name, setName] = useState("");
  return (
    <Act
      title={`Create a route table of ${vpc}`}
      word="Create"
      service="ec2"
      operation="CreateRouteTable"
      parameters={{ VpcId: vpc, TagSpecifications: nameTag("route-table", name) }}
      onClose={onClose}
    >
      <FormField label="Name">
        <Input value={name} onChange={({ detail }) => setName(detail.value)} />
      </FormField>
    </Act>
  );
}

function AddRoute({ table, onClose }: { table: RouteTable; onClose: () => void }) {
  const { region } = useHere();
  const known = useLive(
    async () => {
      const [internet, nat] = await Promise.all([internetGateways(region, table.VpcId), natGateways(region, table.VpcId)]);
      return [
        ...internet
          .filter((each) => each.Attachments.length > 0)
          .map((each) => ({ value: each.InternetGatewayId, label: each.InternetGatewayId, description: "Internet gateway" })),
        ...nat.map((each) => ({ value: each.NatGatewayId, label: each.NatGatewayId, description: `NAT gateway, ${each.State}` })),
      ];
    },
    { kinds: ["internet_gateway", "nat_gateway"] },
    [region, table.VpcId],
  );
  const [block, setBlock] = useState("0.0.0.0/0");
  const [by, setBy] = useState("");
  return (
    <Act
      title={`Add a route to ${table.RouteTableId}`}
      word="Add"
      service="ec2"
      operation="CreateRoute"
      parameters={{
        RouteTableId: table.RouteTableId,
        DestinationCidrBlock: block,
        ...(by.startsWith("nat-") ? { NatGatewayId: by } : { GatewayId: by }),
      }}
      isReady={isBlock(block) && by !== ""}
      onClose={onClose}
    >
      <FormField label="Destination" errorText={isBlock(block) ? undefined : "As 0.0.0.0/0"}>
        <Input value={block} onChange={({ detail }) => setBlock(detail.value.trim())} />
      </FormField>
      <FormField label="By" description="Gateways of this VPC" errorText={known.error?.message}>
        <Select
          selectedOption={known.value?.find((each) => each.value === by) ?? null}
          options={known.value ?? []}
          onChange={({ detail }) => setBy(detail.selectedOption.value ?? "")}
          placeholder="Choose one"
          empty="The VPC has no gateway"
        />
      </FormField>
    </Act>
  );
}

function Associate({ table, onClose }: { table: RouteTable; onClose: () => void }) {
  const { region } = useHere();
  const known = useLive(
    async () => (await subnets(region)).filter((each) => each.VpcId === table.VpcId).map(subnetOption),
    { kinds: ["subnet"] },
    [region, table.VpcId],
  );
  const [subnet, setSubnet] = useState("");
  return (
    <Act
      title={`Associate ${table.RouteTableId}`}
      word="Associate"
      service="ec2"
      operation="AssociateRouteTable"
      parameters={{ RouteTableId: table.RouteTableId, SubnetId: subnet }}
      isReady={subnet !== ""}
      onClose={onClose}
    >
      <FormField label="Subnet" description="One that has another table of its own is disassociated from it first" errorText={known.error?.message}>
        <Select
          selectedOption={known.value?.find((each) => each.value === subnet) ?? null}
          options={known.value ?? []}
          onChange={({ detail }) => setSubnet(detail.selectedOption.value ?? "")}
          placeholder="Choose one"
          empty="The VPC has no subnet"
        />
      </FormField>
    </Act>
  );
}
