/** Log groups, and one of them: searched by AWS's filter patterns, followed, kept for so long. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useEffect, useState } from "react";
import { useAddress } from "../address";
import { type LogGroup, logGroup, logGroups } from "../api/logs";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { bytes, counted, time } from "../format";
import { Fact } from "../parts/fact";
import { List } from "../parts/list";
import { CreateLogGroup, DeleteLogGroup, EditRetention, ProtectLogGroup } from "../parts/log-group-acts";
import { MetricFilters } from "../parts/metric-filters";
import { Output } from "../parts/output";
import { Tags } from "../parts/tags";
import { boundsOf, spanOf } from "../span";

export function LogGroups() {
  const { region, to } = useHere();
  const live = useLive(() => logGroups(region), { kinds: ["log_group"] }, [region]);
  const [isNew, setNew] = useState(false);
  return (
    <>
      <List<LogGroup>
        title="Log groups"
        noun="log group"
        live={live}
        keyOf={(group) => group.logGroupName}
        actions={
          <Button variant="primary" onClick={() => setNew(true)}>
            Create
          </Button>
        }
        columns={[
          {
            id: "name",
            header: "Log group",
            cell: (group) => <Link href={to(["log-groups", group.logGroupName])}>{group.logGroupName}</Link>,
            sortingField: "logGroupName",
            isRowHeader: true,
          },
          {
            id: "retention",
            header: "Retention",
            cell: retentionOf,
          },
          { id: "class", header: "Class", cell: (group) => group.logGroupClass ?? "–" },
          { id: "created", header: "Created", cell: (group) => time(group.creationTime && group.creationTime / 1000) },
        ]}
      />
      {isNew && <CreateLogGroup onClose={() => setNew(false)} />}
    </>
  );
}

const retentionOf = (group: LogGroup) => (group.retentionInDays ? counted(group.retentionInDays, "day") : "Never expires");

const SPANS = [
  { value: "15m", label: "15 minutes" },
  { value: "1h", label: "1 hour" },
  { value: "1d", label: "1 day" },
  { value: "7d", label: "7 days" },
];

export function LogGroupPage({ name }: { name: string }) {
  const { region, to } = useHere();
  const live = useLive(() => logGroup(region, name), { kinds: ["log_group"], prefix: name }, [region, name]);
  const [doing, setDoing] = useState<"" | "retention" | "protection" | "deletion">("");
  const [address, change] = useAddress();
  const span = address.get("span") ?? "1h";
  const pattern = address.get("pattern") ?? "";
  const [typed, setTyped] = useState(pattern);
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    // Not with each letter: when the typing pauses.
    const pause = setTimeout(() => change({ pattern: typed }), 400);
    return () => clearTimeout(pause);
  }, [typed, change]);
  const group = live.value;
  if (group === null || live.error) {
    return <Alert type="error">{live.error?.message ?? `There is no log group ${name} in ${region}.`}</Alert>;
  }
  const close = () => setDoing("");
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button href={to(["logs-insights"], { groups: name, span })}>Logs Insights</Button>
            <Button disabled={!group} onClick={() => setDoing("retention")}>
              Edit retention
            </Button>
            <Button disabled={!group} onClick={() => setDoing("protection")}>
              {group?.deletionProtectionEnabled ? "Take the protection off" : "Protect"}
            </Button>
            <Button disabled={!group} onClick={() => setDoing("deletion")}>
              Delete
            </Button>
          </SpaceBetween>
        }
      >
        {name}
      </Header>
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="Retention">{group ? retentionOf(group) : "–"}</Fact>
          <Fact label="Class">{group?.logGroupClass ?? "–"}</Fact>
          <Fact label="Stored">{bytes(group?.storedBytes)}</Fact>
          <Fact label="Protected from deletion">{group ? (group.deletionProtectionEnabled ? "Yes" : "No") : "–"}</Fact>
        </ColumnLayout>
      </Container>
      <Container>
        <SpaceBetween size="m">
          <ColumnLayout columns={2}>
            <FormField label="Filter pattern" description='ERROR, "the words", { $.status >= 500 }'>
              <Input type="search" value={typed} onChange={({ detail }) => setTyped(detail.value)} ariaLabel="Filter pattern" />
            </FormField>
            <FormField label="Lines of the last" description="New ones follow by themselves">
              <Select
                selectedOption={SPANS.find((each) => each.value === span) ?? { value: span, label: span }}
                options={SPANS}
                onChange={({ detail }) => {
                  change({ span: detail.selectedOption.value });
                  setNow(Date.now());
                }}
              />
            </FormField>
          </ColumnLayout>
          <Output wanted={{ group: name, pattern }} sinceMs={boundsOf(spanOf(span, "1h"), now).start * 1000} label={`Lines of ${name}`} />
        </SpaceBetween>
      </Container>
      <MetricFilters group={name} />
      {group && doing === "retention" && <EditRetention group={group} onClose={close} />}
      {group && doing === "protection" && <ProtectLogGroup group={group} onClose={close} />}
      {group && doing === "deletion" && <DeleteLogGroup group={group} onClose={close} />}
      {group?.logGroupArn && <Tags service="logs" of={group.logGroupArn} name={name} kinds={["log_group"]} />}
    </SpaceBetween>
  );
}
