/** Alarms with their states, and one of them: its metric with the threshold, and what happened. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import StatusIndicator, { type StatusIndicatorProps } from "@cloudscape-design/components/status-indicator";
import Table from "@cloudscape-design/components/table";
import { useState } from "react";
import { useAddress } from "../address";
import { type Alarm, alarm as readAlarm, alarms, conditionOf, history, linesOf, periodOfAlarm, type State } from "../api/alarms";
import { useLive } from "../api/live";
import { packed, queriesOf, unpacked, wordsOf } from "../api/metrics";
import { useSeries } from "../api/series";
import { useHere } from "../context";
import { time } from "../format";
import { Act } from "../parts/act";
import { AlarmForm } from "../parts/alarm-form";
import { Chart } from "../parts/chart";
import { Fact } from "../parts/fact";
import { List } from "../parts/list";
import { SetAlarmState } from "../parts/set-alarm-state";
import { SpanPicker } from "../parts/span-picker";
import { Tags } from "../parts/tags";
import { periodOf, spanOf, textOf } from "../span";

const STATES: Record<State, [StatusIndicatorProps.Type, string]> = {
  OK: ["success", "OK"],
  ALARM: ["warning", "In alarm"],
  INSUFFICIENT_DATA: ["pending", "Insufficient data"],
};

function AlarmState({ of }: { of: State }) {
  const [type, words] = STATES[of];
  return <StatusIndicator type={type}>{words}</StatusIndicator>;
}

export function Alarms() {
  const { region, to } = useHere();
  const [address, change] = useAddress();
  const live = useLive(() => alarms(region), { kinds: ["alarm"] }, [region]);
  const [isNew, setNew] = useState(false);
  const wanted = unpacked(address.get("create"))[0];
  return (
    <>
      <List<Alarm>
        title="Alarms"
        noun="alarm"
        live={live}
        actions={
          <Button variant="primary" onClick={() => setNew(true)}>
            Create
          </Button>
        }
        keyOf={(each) => each.AlarmName}
        columns={[
          {
            id: "name",
            header: "Alarm",
            isRowHeader: true,
            sortingField: "AlarmName",
            minWidth: 160,
            cell: (each) => <Link href={to(["alarms", each.AlarmName])}>{each.AlarmName}</Link>,
          },
          { id: "state", header: "State", sortingField: "StateValue", cell: (each) => <AlarmState of={each.StateValue} />, minWidth: 170 },
          {
            id: "since",
            header: "Since",
            sortingField: "StateTransitionedTimestamp",
            cell: (each) => time(each.StateTransitionedTimestamp),
            minWidth: 190,
          },
          { id: "condition", header: "In alarm while", cell: conditionOf, minWidth: 240 },
          { id: "actions", header: "Actions", cell: (each) => (each.ActionsEnabled ? "On" : "Off") },
        ]}
      />
      {(isNew || wanted) && (
        <AlarmForm
          line={wanted}
          onClose={() => {
            setNew(false);
            change({ create: undefined });
          }}
        />
      )}
    </>
  );
}

export function AlarmPage({ name }: { name: string }) {
  const { region, to } = useHere();
  const live = useLive(() => readAlarm(region, name), { kinds: ["alarm"], prefix: name }, [region, name]);
  const moments = useLive(() => history(region, name), { kinds: ["alarm", "alarm_history"] }, [region, name]);
  const [doing, setDoing] = useState<"edit" | "delete" | "actions" | "state">();
  const alarm = live.value;
  if (alarm === null || live.error) {
    return <Alert type="error">{live.error?.message ?? `There is no alarm ${name} in ${region}.`}</Alert>;
  }
  const done = () => setDoing(undefined);
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        description={alarm?.AlarmDescription}
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button disabled={!alarm} onClick={() => setDoing("actions")}>
              {alarm?.ActionsEnabled === false ? "Enable actions" : "Disable actions"}
            </Button>
            <Button disabled={!alarm} onClick={() => setDoing("state")}>
              Set state
            </Button>
            <Button disabled={!alarm} onClick={() => setDoing("edit")}>
              Edit
            </Button>
            <Button disabled={!alarm} onClick={() => setDoing("delete")}>
              Delete
            </Button>
          </SpaceBetween>
        }
      >
        {name}
      </Header>
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="State">{alarm ? <AlarmState of={alarm.StateValue} /> : "–"}</Fact>
          <Fact label="Since">{time(alarm?.StateTransitionedTimestamp)}</Fact>
          <Fact label="In alarm while">{alarm ? conditionOf(alarm) : "–"}</Fact>
          <Fact label="Missing data">{alarm?.TreatMissingData ?? "missing"}</Fact>
          <Fact label="Why">{alarm?.StateReason ?? "–"}</Fact>
          <Fact label="Actions">{alarm?.ActionsEnabled === false ? "Off" : "On"}</Fact>
          <Fact label="Does in alarm">{alarm?.AlarmActions?.join(", ") || "Nothing"}</Fact>
        </ColumnLayout>
      </Container>
      {alarm && !alarm.AlarmRule && <Watched alarm={alarm} />}
      <Table
        header={<Header variant="h2">History</Header>}
        items={moments.value ?? []}
        loading={moments.value === undefined && !moments.error}
        loadingText="Reading the history"
        wrapLines
        empty={moments.error?.message ?? "Nothing happened yet"}
        columnDefinitions={[
          { id: "at", header: "When", cell: (each) => time(each.Timestamp), width: 190 },
          { id: "type", header: "Of", cell: (each) => KINDS[each.HistoryItemType] ?? each.HistoryItemType, width: 150 },
          { id: "what", header: "What", cell: (each) => each.HistorySummary, isRowHeader: true },
        ]}
      />
      {doing === "state" && <SetAlarmState name={name} onClose={done} />}
      {doing === "edit" && alarm && <AlarmForm before={alarm} onClose={done} />}
      {doing === "actions" && alarm && (
        <Act
          title={alarm.ActionsEnabled ? `Disable the actions of ${name}?` : `Enable the actions of ${name}?`}
          word={alarm.ActionsEnabled ? "Disable" : "Enable"}
          service="cloudwatch"
          operation={alarm.ActionsEnabled ? "DisableAlarmActions" : "EnableAlarmActions"}
          parameters={{ AlarmNames: [name] }}
          onClose={done}
        >
          Its state goes on changing either way.
        </Act>
      )}
      {doing === "delete" && (
        <Act
          title={`Delete ${name}?`}
          word="Delete"
          service="cloudwatch"
          operation="DeleteAlarms"
          parameters={{ AlarmNames: [name] }}
          onClose={done}
          onDone={() => {
            location.hash = to(["alarms"]);
          }}
        >
          What acts upon it, as scaling policies do, no longer does.
        </Act>
      )}
      {alarm && <Tags service="cloudwatch" of={alarm.AlarmArn} name={name} kinds={["alarm"]} />}
    </SpaceBetween>
  );
}

const KINDS: Record<string, string> = { ConfigurationUpdate: "Settings", StateUpdate: "State", Action: "Action" };

function Watched({ alarm }: { alarm: Alarm }) {
  const { region, to } = useHere();
  const [address, change] = useAddress();
  const span = spanOf(address.get("span"));
  const lines = linesOf(alarm);
  const period = Math.max(periodOfAlarm(alarm), periodOf(span, Date.now()));
  const asked = lines.map((each) => ({ ...each, period: each.period && Math.max(each.period, period) }));
  const series = useSeries(region, queriesOf(asked, period), span);
  return (
    <Container
      header={
        <Header
          variant="h2"
          actions={
            <SpaceBetween direction="horizontal" size="xs">
              <Button href={to(["metrics"], { graph: packed(lines), tab: "lines" })}>Explore</Button>
              <SpanPicker span={span} onChange={(each) => change({ span: textOf(each) })} />
            </SpaceBetween>
          }
        >
          What it watches
        </Header>
      }
    >
      {series.error && <Alert type="error">{series.error.message}</Alert>}
      <Chart
        label={`What ${alarm.AlarmName} watches, and its threshold`}
        start={series.start}
        end={series.end}
        isLoading={!series.found && !series.error}
        series={(series.found ?? []).map((each) => {
          const line = lines.find((one) => one.id === each.id);
          return { title: line ? line.label || wordsOf(line) : each.label, points: each.points };
        })}
        thresholds={alarm.Threshold === undefined ? [] : [{ title: "Threshold", y: alarm.Threshold }]}
      />
    </Container>
  );
}
