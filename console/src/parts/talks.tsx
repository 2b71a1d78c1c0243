/** With whom a thing of a VPC may talk, as its security groups and theirs say. */

import Alert from "@cloudscape-design/components/alert";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import type { Live } from "../api/live";
import type { Talk } from "../api/network";
import { useHere } from "../context";
import { KIND_WORDS, sayThing, type Thing } from "../drawing";
import { Fact } from "./fact";

interface Row {
  key: string;
  who: string;
  count: number;
  what: string;
  hasLists: boolean;
}

/** Things of one name in several zones that may say the same are one line. */
function rowsOf(things: readonly Thing[], talk: Talk, side: "in" | "out"): Row[] {
  const byId = new Map(talk.interfaces.map((each) => [each.id, each]));
  const found = new Map<string, Row>();
  for (const thing of things) {
    for (const member of thing.members) {
      const said = byId.get(member.id);
      if (!said || said[side].length === 0) continue;
      const what = said[side].join(", ");
      const who = `${KIND_WORDS[thing.kind]} ${thing.label}`;
      const key = `${who} ${thing.cluster ?? ""} ${what} ${said.hasLists}`;
      const row = found.get(key);
      if (row) row.count += 1;
      else found.set(key, { key, who, count: 1, what, hasLists: said.hasLists });
    }
  }
  return [...found.values()];
}

export function Talks({ thing, things, talk }: { thing: Thing; things: readonly Thing[]; talk: Live<Talk | null> }) {
  const { to } = useHere();
  const [first] = thing.members;
  const found = talk.value;
  return (
    <SpaceBetween size="l">
      <Container header={<Header variant="h2">{sayThing(thing)}</Header>}>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="Addresses">
            {thing.members
              .slice(0, 4)
              .map((each) => each.address + (each.publicAddress ? ` (${each.publicAddress})` : ""))
              .join(", ")}
            {thing.members.length > 4 && ` and ${thing.members.length - 4} more`}
          </Fact>
          <Fact label="Security groups">
            <SpaceBetween direction="horizontal" size="xs">
              {first?.securityGroupIds.map((each) => (
                <Link key={each} href={to(["security-groups", each])}>
                  {each}
                </Link>
              ))}
              {!first?.securityGroupIds.length && "None"}
            </SpaceBetween>
          </Fact>
          <Fact label="Its page">
            <PageOf thing={thing} />
          </Fact>
          <Fact label="Beyond the VPC">
            {found ? (
              <>
                <div>To it: {found.outside.out.join(", ") || "nothing"}</div>
                <div>From it: {found.outside.in.join(", ") || "nothing"}</div>
              </>
            ) : (
              "–"
            )}
          </Fact>
        </ColumnLayout>
      </Container>
      {talk.error && <Alert type="error">{talk.error.message}</Alert>}
      {(["out", "in"] as const).map((side) => (
        <Table<Row>
          key={side}
          header={
            <Header variant="h2" description="By security groups on both sides">
              {side === "out" ? "What it may reach" : "What may reach it"}
            </Header>
          }
          items={found ? rowsOf(things, found, side) : []}
          trackBy="key"
          loading={!found && !talk.error}
          loadingText="The rules are being compared"
          empty="Nothing"
          columnDefinitions={[
            { id: "who", header: side === "out" ? "To" : "From", cell: (row) => row.who, isRowHeader: true },
            { id: "count", header: "Interfaces", cell: (row) => row.count, width: 130 },
            { id: "what", header: "What", cell: (row) => row.what },
            {
              id: "lists",
              header: "Network ACLs",
              cell: (row) => (row.hasLists ? "Stand between: choose both to see" : "Let all pass"),
            },
          ]}
        />
      ))}
    </SpaceBetween>
  );
}

function PageOf({ thing }: { thing: Thing }) {
  const { to } = useHere();
  const [first] = thing.members;
  const holder = first?.holder;
  if (!holder) return <>–</>;
  if (holder.kind === "balancer") return <Link href={to(["load-balancers", holder.name])}>{holder.name}</Link>;
  if (holder.kind === "task" && holder.cluster) {
    if (holder.name.startsWith("service:")) {
      return <Link href={to(["clusters", holder.cluster, "services", thing.label])}>{thing.label}</Link>;
    }
    return <Link href={to(["clusters", holder.cluster, "tasks", holder.id])}>{holder.id.slice(0, 12)}</Link>;
  }
  return <>–</>;
}
