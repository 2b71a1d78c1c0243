/** Logs Insights: a query over log groups, its rows as they are found, as a table and as a chart. */

import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import ButtonDropdown from "@cloudscape-design/components/button-dropdown";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import KeyValuePairs from "@cloudscape-design/components/key-value-pairs";
import Modal from "@cloudscape-design/components/modal";
import Multiselect from "@cloudscape-design/components/multiselect";
import Pagination from "@cloudscape-design/components/pagination";
import SpaceBetween from "@cloudscape-design/components/space-between";
import StatusIndicator from "@cloudscape-design/components/status-indicator";
import Table from "@cloudscape-design/components/table";
import Tabs from "@cloudscape-design/components/tabs";
import Textarea from "@cloudscape-design/components/textarea";
import { useCollection } from "@cloudscape-design/collection-hooks";
import { lazy, Suspense, useEffect, useState } from "react";
import { useAddress } from "../address";
import { useLive } from "../api/live";
import { logGroups } from "../api/logs";
import { short } from "../api/metrics";
import {
  type Asked,
  definitions,
  type Definition,
  EXAMPLES,
  fieldsOf,
  isUnderWay,
  parametersOf,
  plotOf,
  record,
  results,
  type Results,
  type Row,
  start,
  stop,
} from "../api/queries";
import { commandOf } from "../command";
import { useHere } from "../context";
import { counted } from "../format";
import { Act, Command } from "../parts/act";
import { Chart } from "../parts/chart";
import { Failure } from "../parts/failure";
import { SpanPicker } from "../parts/span-picker";
import { boundsOf, spanOf, textOf } from "../span";
import "../parts/query.css";

const Bars = lazy(() => import("../parts/bars"));

const LOOK_MS = 400;
const FIRST = EXAMPLES[0]?.[1] ?? "";

interface Run {
  asked: Asked;
  results: Results | undefined;
  error: Error | undefined;
  /** Milliseconds from its start to the last look. */
  took: number;
}

/** A query from its start to its end. Who leaves stops it. */
function useRun(region: string, asked: Asked | undefined): Run | undefined {
  const [run, setRun] = useState<Run>();
  useEffect(() => {
    setRun(asked && { asked, results: undefined, error: undefined, took: 0 });
    if (!asked) return;
    let isOver = false;
    let underWay: string | undefined;
    const began = performance.now();
    const follow = async () => {
      underWay = await start(region, asked);
      while (!isOver) {
        const found = await results(region, underWay);
        if (isOver) break;
        if (!isUnderWay(found.status)) underWay = undefined;
        setRun({ asked, results: found, error: undefined, took: performance.now() - began });
        if (underWay === undefined) return;
        await new Promise((go) => setTimeout(go, LOOK_MS));
      }
      if (underWay !== undefined) await stop(region, underWay);
    };
    follow().catch((error: Error) => {
      if (!isOver) setRun((now) => now && { ...now, error });
    });
    return () => {
      isOver = true;
    };
  }, [region, asked]);
  return run;
}

export function LogsInsights() {
  const { region } = useHere();
  const [address, change] = useAddress();
  const span = spanOf(address.get("span"), "1h");
  const groups = (address.get("groups") ?? "").split(",").filter(Boolean);
  const [query, setQuery] = useState(address.get("query") ?? FIRST);
  const known = useLive(() => logGroups(region), { kinds: ["log_group"] }, [region]);
  const kept = useLive(() => definitions(region), { kinds: ["query_definition"] }, [region]);
  const [isKeeping, setKeeping] = useState(false);
  const [forgotten, setForgotten] = useState<Definition>();
  const isReady = groups.length > 0 && query.trim() !== "";
  const next = (): Asked => ({ groups, query, ...boundsOf(span, Date.now()) });
  // An address with a query is the query's results: whoever opens it sees them.
  const [asked, setAsked] = useState(() => (address.get("query") && isReady ? next() : undefined));
  const run = useRun(region, asked);
  const isRunning = run !== undefined && !run.error && (!run.results || isUnderWay(run.results.status));
  const go = () => {
    if (!isReady) return;
    change({ query });
    setAsked(next());
  };
  return (
    <SpaceBetween size="l">
      <Header variant="h1" actions={<SpanPicker span={span} onChange={(each) => change({ span: textOf(each) })} />}>
        Logs Insights
      </Header>
      <Container>
        <SpaceBetween size="m">
          {known.error && <Alert type="error">{known.error.message}</Alert>}
          <FormField label="Log groups" description="Up to fifty" stretch>
            <Multiselect
              selectedOptions={groups.map((value) => ({ value, label: value }))}
              options={(known.value ?? []).map((each) => ({ value: each.logGroupName, label: each.logGroupName }))}
              onChange={({ detail }) => change({ groups: detail.selectedOptions.map((each) => each.value).join(",") })}
              placeholder="Choose some"
              filteringType="auto"
              filteringAriaLabel="Find log groups"
              statusType={known.value ? "finished" : "loading"}
              loadingText="Reading the log groups"
              empty="No log group in this region"
              deselectAriaLabel={(each) => `Without ${each.label}`}
            />
          </FormField>
          <FormField label="Query" description="Ctrl+Enter runs it" stretch>
            <div className="query">
              <Textarea
                value={query}
                rows={4}
                spellcheck={false}
                ariaLabel="Query"
                onChange={({ detail }) => setQuery(detail.value)}
                onKeyDown={({ detail }) => (detail.ctrlKey || detail.metaKey) && detail.key === "Enter" && go()}
              />
            </div>
          </FormField>
          <SpaceBetween direction="horizontal" size="xs">
            <Button variant="primary" disabled={!isReady} loading={isRunning} onClick={go}>
              Run query
            </Button>
            <Button disabled={!isRunning} onClick={() => setAsked(undefined)}>
              Cancel
            </Button>
            <ButtonDropdown
              items={EXAMPLES.map(([text], at) => ({ id: String(at), text }))}
              onItemClick={({ detail }) => setQuery(EXAMPLES[Number(detail.id)]?.[1] ?? "")}
            >
              Examples
            </ButtonDropdown>
            <ButtonDropdown
              items={[
                ...(kept.value ?? []).map((each) => ({ id: each.queryDefinitionId, text: each.name })),
                { id: "keep", text: "Save this query", disabled: query.trim() === "" },
                ...((kept.value ?? []).length
                  ? [{ text: "Delete", items: (kept.value ?? []).map((each) => ({ id: `-${each.queryDefinitionId}`, text: each.name })) }]
                  : []),
              ]}
              expandableGroups
              onItemClick={({ detail }) => {
                if (detail.id === "keep") return setKeeping(true);
                const found = kept.value?.find((each) => each.queryDefinitionId === detail.id.replace(/^-/, ""));
                if (!found) return;
                if (detail.id.startsWith("-")) return setForgotten(found);
                setQuery(found.queryString);
                if (found.logGroupNames?.length) change({ groups: found.logGroupNames.join(",") });
              }}
            >
              Saved queries
            </ButtonDropdown>
          </SpaceBetween>
        </SpaceBetween>
      </Container>
      {run && <Found run={run} />}
      {isReady && <Command text={commandOf("logs", "StartQuery", parametersOf(asked && asked.query === query ? asked : next()))} />}
      {isKeeping && <Keep query={query} groups={groups} onClose={() => setKeeping(false)} />}
      {forgotten && (
        <Act
          title={`Delete the query ${forgotten.name}?`}
          word="Delete"
          service="logs"
          operation="DeleteQueryDefinition"
          parameters={{ queryDefinitionId: forgotten.queryDefinitionId }}
          onClose={() => setForgotten(undefined)}
        />
      )}
    </SpaceBetween>
  );
}

function Keep({ query, groups, onClose }: { query: string; groups: string[]; onClose: () => void }) {
  const [name, setName] = useState("");
  return (
    <Act
      title="Save this query"
      word="Save"
      service="logs"
      operation="PutQueryDefinition"
      parameters={{ name, queryString: query, logGroupNames: groups.length ? groups : undefined }}
      isReady={name !== ""}
      onClose={onClose}
    >
      <FormField label="Name">
        <Input value={name} onChange={({ detail }) => setName(detail.value)} />
      </FormField>
    </Act>
  );
}

function Found({ run }: { run: Run }) {
  const [address, change] = useAddress();
  if (run.error) return <Failure of={run.error} />;
  const rows = run.results?.rows ?? [];
  const plot = plotOf(rows);
  return (
    <Container header={<Header variant="h2" counter={run.results && `(${rows.length})`} description={<Progress run={run} />}>Results</Header>}>
      <Tabs
        ariaLabel="Results"
        activeTabId={address.get("view") === "chart" ? "chart" : "rows"}
        onChange={({ detail }) => change({ view: detail.activeTabId === "chart" ? "chart" : undefined })}
        tabs={[
          { id: "rows", label: "Rows", content: <Rows key={run.asked.start} rows={rows} isUnderWay={!run.results || isUnderWay(run.results.status)} /> },
          {
            id: "chart",
            label: "Chart",
            content:
              plot?.kind === "lines" ? (
                <Chart label="Results over time" start={run.asked.start} end={run.asked.end} height={280} series={plot.series} />
              ) : plot ? (
                <Suspense fallback="The chart is being loaded">
                  <Bars label="Results by group" plot={plot} />
                </Suspense>
              ) : (
                <Box textAlign="center" color="text-body-secondary">
                  A chart takes statistics: by bin(5m) they become lines over time, by another field bars.
                </Box>
              ),
          },
        ]}
      />
    </Container>
  );
}

function Progress({ run }: { run: Run }) {
  const { results: found } = run;
  if (!found) return <StatusIndicator type="loading">Starting</StatusIndicator>;
  const { recordsMatched = 0, recordsScanned = 0, bytesScanned = 0 } = found.statistics ?? {};
  const words = `${found.status}: ${short(recordsMatched)} of ${counted(recordsScanned, "event")} matched, ${short(bytesScanned)} bytes, ${(run.took / 1000).toFixed(1)} s`;
  return <StatusIndicator type={isUnderWay(found.status) ? "in-progress" : found.status === "Complete" ? "success" : "error"}>{words}</StatusIndicator>;
}

function Rows({ rows, isUnderWay: isComing }: { rows: readonly Row[]; isUnderWay: boolean }) {
  const [opened, setOpened] = useState<string>();
  const fields = fieldsOf(rows);
  const hasPointer = rows.some((row) => row["@ptr"] !== undefined);
  const { items, collectionProps, paginationProps } = useCollection(rows, { pagination: { pageSize: 50 }, sorting: {} });
  return (
    <>
      <Table<Row>
        {...collectionProps}
        variant="embedded"
        items={items}
        wrapLines
        resizableColumns={false}
        loading={isComing && rows.length === 0}
        loadingText="The query runs"
        empty="No event matches"
        pagination={rows.length > 50 ? <Pagination {...paginationProps} /> : undefined}
        ariaLabels={{ tableLabel: "Rows" }}
        columnDefinitions={[
          ...fields.map((name, at) => ({
            id: name,
            header: name,
            isRowHeader: at === 0,
            cell: (row: Row) => row[name] ?? "–",
            sortingComparator: (a: Row, b: Row) => compared(a[name], b[name]),
          })),
          ...(hasPointer
            ? [
                {
                  id: "open",
                  header: "Event",
                  width: 90,
                  cell: (row: Row) => (
                    <Button variant="inline-link" ariaLabel={`Open ${row[fields[0] ?? ""] ?? "the event"}`} onClick={() => setOpened(row["@ptr"])}>
                      Open
                    </Button>
                  ),
                },
              ]
            : []),
        ]}
      />
      {opened && <Event pointer={opened} onClose={() => setOpened(undefined)} />}
    </>
  );
}

/** Numbers by their size, all else by its letters. */
function compared(a: string | undefined, b: string | undefined): number {
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? (a ?? "").localeCompare(b ?? "") : difference;
}

function Event({ pointer, onClose }: { pointer: string; onClose: () => void }) {
  const { region } = useHere();
  const live = useLive(() => record(region, pointer), { kinds: [] }, [region, pointer]);
  return (
    <Modal visible size="large" header="An event" closeAriaLabel="Close" onDismiss={onClose}>
      {live.error && <Alert type="error">{live.error.message}</Alert>}
      <KeyValuePairs
        items={Object.entries(live.value ?? {})
          .filter(([name]) => name !== "@ptr")
          .map(([label, value]) => ({ label, value }))}
      />
    </Modal>
  );
}
