/** Metrics: which there are, several of them as lines of one chart, or as a table. All of it is in the address. */

import Alert from "@cloudscape-design/components/alert";
import BreadcrumbGroup from "@cloudscape-design/components/breadcrumb-group";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Checkbox from "@cloudscape-design/components/checkbox";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Pagination from "@cloudscape-design/components/pagination";
import SegmentedControl from "@cloudscape-design/components/segmented-control";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import Tabs from "@cloudscape-design/components/tabs";
import TextFilter from "@cloudscape-design/components/text-filter";
import { useCollection } from "@cloudscape-design/collection-hooks";
import { useMemo, useRef, useState } from "react";
import { useAddress } from "../address";
import { useLive } from "../api/live";
import {
  type Found,
  keyOf,
  type Line,
  type Metric,
  metrics,
  METRICS_MOST,
  packed,
  PERIODS,
  queriesOf,
  short,
  STATISTICS,
  unpacked,
  withLine,
  wordsOf,
} from "../api/metrics";
import { useSeries } from "../api/series";
import { commandOf } from "../command";
import { useHere } from "../context";
import { counted, time } from "../format";
import { Command } from "../parts/act";
import { Chart } from "../parts/chart";
import { List } from "../parts/list";
import { SpanPicker } from "../parts/span-picker";
import { iso, periodOf, spanOf, textOf } from "../span";

export function Metrics() {
  const { region } = useHere();
  const [address, change] = useAddress();
  const lines = unpacked(address.get("graph"));
  const span = spanOf(address.get("span"));
  const view = address.get("view") ?? "chart";
  const tab = address.get("tab") ?? "browse";
  const setLines = (all: readonly Line[]) => change({ graph: packed(all) });
  const period = periodOf(span, Date.now());
  const queries = queriesOf(lines, period);
  const series = useSeries(region, queries, span);
  const shown = series.found?.filter((each) => lines.some((line) => line.id === each.id && line.isShown)) ?? [];
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <SegmentedControl
              label="View"
              selectedId={view}
              options={[
                { id: "chart", text: "Chart" },
                { id: "table", text: "Table" },
              ]}
              onChange={({ detail }) => change({ view: detail.selectedId === "chart" ? undefined : detail.selectedId })}
            />
            <SpanPicker span={span} onChange={(each) => change({ span: textOf(each) })} />
          </SpaceBetween>
        }
      >
        Metrics
      </Header>
      {series.error && <Alert type="error">{series.error.message}</Alert>}
      {view === "table" ? (
        <Values found={shown} lines={lines} />
      ) : (
        <Container>
          <Chart
            label="The chosen metrics over time"
            height={260}
            start={series.start}
            end={series.end}
            series={titled(shown, lines)}
            isLoading={lines.length > 0 && !series.found && !series.error}
            empty={lines.length ? "No point in this time" : "Choose metrics below"}
          />
        </Container>
      )}
      <Tabs
        ariaLabel="What is shown"
        activeTabId={tab}
        onChange={({ detail }) => change({ tab: detail.activeTabId === "browse" ? undefined : detail.activeTabId })}
        tabs={[
          { id: "browse", label: "Browse", content: <Browse lines={lines} onChange={setLines} /> },
          { id: "lines", label: `Lines (${lines.length})`, content: <Lines lines={lines} onChange={setLines} /> },
          {
            id: "command",
            label: "Source",
            content: (
              <Command
                text={commandOf("cloudwatch", "GetMetricData", {
                  StartTime: iso(series.start),
                  EndTime: iso(series.end),
                  MetricDataQueries: queries,
                })}
              />
            ),
          },
        ]}
      />
    </SpaceBetween>
  );
}

/** Each line under its own label; what a search found under theirs. */
function titled(found: readonly Found[], lines: readonly Line[]) {
  return found.map((each) => {
    const line = lines.find((one) => one.id === each.id);
    const isSeveral = found.filter((one) => one.id === each.id).length > 1;
    return { title: !line || isSeveral ? each.label : line.label || wordsOf(line), points: each.points };
  });
}

const LISTED_AGAIN = 500;
const NONE: readonly Metric[] = [];

const setOf = (metric: Metric) => Object.keys(metric.dimensions).sort().join(", ") || "Without dimensions";

function groupsOf(all: readonly Metric[], nameOf: (metric: Metric) => string): Map<string, Metric[]> {
  const found = new Map<string, Metric[]>();
  for (const each of all) {
    const name = nameOf(each);
    const group = found.get(name);
    if (group) group.push(each);
    else found.set(name, [each]);
  }
  return found;
}

/** Namespaces, then sets of dimensions, then metrics. */
function Browse({ lines, onChange }: { lines: readonly Line[]; onChange: (lines: readonly Line[]) => void }) {
  const { region, to } = useHere();
  const [address, change] = useAddress();
  const namespace = address.get("namespace");
  const dimensions = address.get("dimensions");
  const held = useRef<{ of: string; metrics: Metric[] }>(undefined);
  const all = useLive(
    async () => {
      // New ones come each minute; where there are many, the list is not asked for all of them again.
      const of = `${region} ${namespace}`;
      if (held.current?.of !== of || held.current.metrics.length <= LISTED_AGAIN) {
        held.current = { of, metrics: await metrics(region, namespace ? { Namespace: namespace } : {}) };
      }
      return held.current.metrics;
    },
    { kinds: [], everyMs: 60_000 },
    [region, namespace],
  );
  const groups = useMemo(() => groupsOf(all.value ?? [], namespace ? setOf : (each) => each.namespace), [all.value, namespace]);
  const crumbs = [
    { text: "All", href: to(["metrics"]), change: { namespace: undefined, dimensions: undefined } },
    ...(namespace ? [{ text: namespace, href: to(["metrics"], { namespace }), change: { namespace, dimensions: undefined } }] : []),
    ...(namespace && dimensions ? [{ text: dimensions, href: "#", change: {} }] : []),
  ];
  return (
    <SpaceBetween size="s">
      <BreadcrumbGroup
        ariaLabel="Which metrics"
        items={crumbs}
        onClick={(event) => {
          event.preventDefault();
          change(event.detail.item.change);
        }}
      />
      {(all.value?.length ?? 0) >= METRICS_MOST && (
        <Alert type="info">There are more than {METRICS_MOST} metrics; these are the first ones. Metric math finds others: SEARCH.</Alert>
      )}
      {namespace && dimensions ? (
        <Choice
          key={dimensions}
          all={groups.get(dimensions) ?? NONE}
          isLoading={all.value === undefined}
          lines={lines}
          onChange={onChange}
        />
      ) : (
        <List<{ name: string; count: number }>
          title={namespace ? "Dimensions" : "Namespaces"}
          noun={namespace ? "set of dimensions" : "namespace"}
          plural={namespace ? "sets of dimensions" : undefined}
          variant="embedded"
          live={{
            value: all.value && [...groups].map(([name, { length: count }]) => ({ name, count })).sort((a, b) => a.name.localeCompare(b.name)),
            error: all.error,
          }}
          keyOf={(each) => each.name}
          empty="No metric in the last two weeks. Services have some a minute after their tasks run."
          columns={[
            {
              id: "name",
              header: namespace ? "Dimensions" : "Namespace",
              isRowHeader: true,
              sortingField: "name",
              cell: (each) => (
                <Button variant="inline-link" onClick={() => change(namespace ? { dimensions: each.name } : { namespace: each.name })}>
                  {each.name}
                </Button>
              ),
            },
            { id: "count", header: "Metrics", cell: (each) => each.count, sortingField: "count" },
          ]}
        />
      )}
    </SpaceBetween>
  );
}

function Choice(props: {
  all: readonly Metric[];
  isLoading: boolean;
  lines: readonly Line[];
  onChange: (lines: readonly Line[]) => void;
}) {
  // There may be very many, and each letter of the filter makes the table anew.
  const names = useMemo(() => [...new Set(props.all.flatMap((each) => Object.keys(each.dimensions)))].sort(), [props.all]);
  const chosen = useMemo(() => new Set(props.lines.flatMap((each) => (each.metric ? [keyOf(each.metric)] : []))), [props.lines]);
  const selected = useMemo(() => props.all.filter((each) => chosen.has(keyOf(each))), [props.all, chosen]);
  const { items, collectionProps, filterProps, paginationProps, filteredItemsCount } = useCollection(props.all, {
    filtering: {
      empty: "No metric",
      noMatch: "No metric matches",
      filteringFunction: (metric, text) =>
        text
          .toLowerCase()
          .split(/\s+/)
          .every((word) => `${metric.name} ${Object.values(metric.dimensions).join(" ")}`.toLowerCase().includes(word)),
    },
    pagination: { pageSize: 50 },
    sorting: {},
  });
  return (
    <Table<Metric>
      {...collectionProps}
      variant="embedded"
      items={items}
      loading={props.isLoading}
      loadingText="Reading the metrics"
      trackBy={keyOf}
      selectionType="multi"
      selectedItems={selected}
      ariaLabels={{
        selectionGroupLabel: "Metrics that are shown",
        allItemsSelectionLabel: () => "Show all of this page",
        itemSelectionLabel: (_, metric) => `Show ${metric.name} ${Object.values(metric.dimensions).join(" ")}`,
        tableLabel: "Metrics",
      }}
      onSelectionChange={({ detail }) => {
        const wanted = new Set(detail.selectedItems.map(keyOf));
        const here = new Set(props.all.map(keyOf));
        let lines = props.lines.filter((each) => !each.metric || !here.has(keyOf(each.metric)) || wanted.has(keyOf(each.metric)));
        for (const metric of detail.selectedItems) {
          if (!chosen.has(keyOf(metric))) lines = withLine(lines, { metric });
        }
        props.onChange(lines);
      }}
      filter={
        <TextFilter
          {...filterProps}
          filteringPlaceholder="Find metrics"
          filteringAriaLabel="Find metrics"
          countText={filteredItemsCount === undefined ? "" : `${filteredItemsCount} found`}
        />
      }
      pagination={props.all.length > 50 ? <Pagination {...paginationProps} /> : undefined}
      columnDefinitions={[
        ...names.map((name) => ({
          id: `dimension ${name}`,
          header: name,
          cell: (metric: Metric) => metric.dimensions[name] ?? "–",
          sortingComparator: (a: Metric, b: Metric) => (a.dimensions[name] ?? "").localeCompare(b.dimensions[name] ?? ""),
        })),
        { id: "name", header: "Metric", isRowHeader: true, sortingField: "name", cell: (metric: Metric) => metric.name },
      ]}
    />
  );
}

function Lines({ lines, onChange }: { lines: readonly Line[]; onChange: (lines: readonly Line[]) => void }) {
  const { to } = useHere();
  const [expression, setExpression] = useState("");
  const changed = (id: string, how: Partial<Line>) => onChange(lines.map((each) => (each.id === id ? { ...each, ...how } : each)));
  return (
    <SpaceBetween size="m">
      <Table<Line>
        variant="embedded"
        items={lines}
        trackBy="id"
        empty="Choose metrics, or add an expression"
        ariaLabels={{ tableLabel: "Lines" }}
        columnDefinitions={[
          {
            id: "shown",
            header: "Shown",
            width: 90,
            cell: (line) => (
              <Checkbox ariaLabel={`Show ${line.id}`} checked={line.isShown} onChange={({ detail }) => changed(line.id, { isShown: detail.checked })} />
            ),
          },
          { id: "id", header: "Id", width: 70, isRowHeader: true, cell: (line) => line.id },
          {
            id: "label",
            header: "Label",
            minWidth: 150,
            cell: (line) => <Typed label={`Label of ${line.id}`} value={line.label} placeholder={wordsOf(line)} onChange={(label) => changed(line.id, { label })} />,
          },
          {
            id: "what",
            header: "What",
            minWidth: 200,
            cell: (line) =>
              line.metric ? (
                `${line.metric.namespace} · ${wordsOf(line)}`
              ) : (
                <Typed
                  label={`Expression of ${line.id}`}
                  value={line.expression ?? ""}
                  onChange={(each) => each && changed(line.id, { expression: each })}
                />
              ),
          },
          {
            id: "statistic",
            header: "Statistic",
            minWidth: 150,
            cell: (line) =>
              line.metric ? (
                <Select
                  ariaLabel={`Statistic of ${line.id}`}
                  selectedOption={{ value: line.stat, label: line.stat }}
                  options={STATISTICS.map((value) => ({ value, label: value }))}
                  onChange={({ detail }) => changed(line.id, { stat: detail.selectedOption.value ?? "Average" })}
                  expandToViewport
                />
              ) : (
                "–"
              ),
          },
          {
            id: "period",
            header: "Period",
            minWidth: 150,
            cell: (line) => (
              <Select
                ariaLabel={`Period of ${line.id}`}
                selectedOption={{ value: String(line.period), label: PERIODS.find(([each]) => each === line.period)?.[1] ?? `${line.period} seconds` }}
                options={PERIODS.map(([value, label]) => ({ value: String(value), label }))}
                onChange={({ detail }) => changed(line.id, { period: Number(detail.selectedOption.value ?? 0) })}
                expandToViewport
              />
            ),
          },
          {
            id: "actions",
            header: "Actions",
            minWidth: 110,
            cell: (line) => (
              <SpaceBetween direction="horizontal" size="xs">
                {line.metric && (
                  <Button
                    variant="icon"
                    iconName="notification"
                    ariaLabel={`Make an alarm of ${line.id}`}
                    href={to(["alarms"], { create: packed([{ ...line, isShown: true }]) })}
                  />
                )}
                <Button
                  variant="icon"
                  iconName="close"
                  ariaLabel={`Remove ${line.id}`}
                  onClick={() => onChange(lines.filter((each) => each.id !== line.id))}
                />
              </SpaceBetween>
            ),
          },
        ]}
      />
      <FormField
        label="Metric math"
        description="Of the ids above: m1 / m2 * 100, RATE(m1), SUM(METRICS()), SEARCH('{AWS/ECS,ClusterName,ServiceName} CPU', 'Average')"
        secondaryControl={
          <Button
            disabled={!expression.trim()}
            onClick={() => {
              onChange(withLine(lines, { expression: expression.trim() }));
              setExpression("");
            }}
          >
            Add
          </Button>
        }
      >
        <Input value={expression} onChange={({ detail }) => setExpression(detail.value)} ariaLabel="Metric math" placeholder="m1 + m2" />
      </FormField>
    </SpaceBetween>
  );
}

/** A field that tells of what was typed when it is left, or with Enter: each telling asks for the metrics. */
function Typed({ label, value, placeholder, onChange }: { label: string; value: string; placeholder?: string; onChange: (value: string) => void }) {
  const [typed, setTyped] = useState<string>();
  const tell = () => {
    if (typed !== undefined && typed !== value) onChange(typed.trim());
    setTyped(undefined);
  };
  return (
    <Input
      ariaLabel={label}
      value={typed ?? value}
      placeholder={placeholder}
      onChange={({ detail }) => setTyped(detail.value)}
      onBlur={tell}
      onKeyDown={({ detail }) => detail.key === "Enter" && tell()}
    />
  );
}

/** The same values as rows, the latest first. */
function Values({ found, lines }: { found: readonly Found[]; lines: readonly Line[] }) {
  interface Row {
    at: number;
    values: (number | undefined)[];
  }
  const rows = new Map<number, Row>();
  found.forEach((each, column) => {
    for (const point of each.points) {
      const at = point.x.getTime() / 1000;
      const row = rows.get(at) ?? { at, values: [] };
      row.values[column] = point.y;
      rows.set(at, row);
    }
  });
  const all = [...rows.values()].sort((a, b) => b.at - a.at);
  const { items, collectionProps, paginationProps } = useCollection(all, { pagination: { pageSize: 50 } });
  const titles = titled(found, lines).map((each) => each.title);
  return (
    <Table<Row>
      {...collectionProps}
      items={items}
      trackBy={(row) => String(row.at)}
      header={<Header counter={`(${all.length})`}>Values</Header>}
      empty={<Box textAlign="center">{lines.length ? "No point in this time" : "Choose metrics below"}</Box>}
      pagination={all.length > 50 ? <Pagination {...paginationProps} /> : undefined}
      ariaLabels={{ tableLabel: `Values of ${counted(found.length, "line")}` }}
      columnDefinitions={[
        { id: "at", header: "Time", isRowHeader: true, cell: (row) => time(row.at), width: 190 },
        ...titles.map((title, column) => ({
          id: `column ${column}`,
          header: title,
          cell: (row: Row) => {
            const value = row.values[column];
            return value === undefined ? "–" : short(value);
          },
        })),
      ]}
    />
  );
}
